import os

bind = os.environ.get("BIND", "127.0.0.1:8000")
workers = 2
# gthread keeps idle connections outside its threads, so 32 threads serve more connections than that.
worker_class = "gthread"
threads = 16
keepalive = 75
