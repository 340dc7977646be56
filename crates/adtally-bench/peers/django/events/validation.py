import ipaddress
import re
from datetime import datetime, timezone

KINDS = {"impression": 0, "click": 1}
MAX_AD_ID = 2**63 - 1
MAX_USER_AGENT = 512
_control = re.compile(r"[\x00-\x1f\x7f-\x9f]").search


class Invalid(ValueError):
    pass


def validate(event):
    """The five fields as the table takes them, or Invalid."""
    if not isinstance(event, dict):
        raise Invalid("not an object")
    ad_id = event.get("ad_id")
    # A bool is an int in Python.
    if type(ad_id) is not int or not 0 < ad_id <= MAX_AD_ID:
        raise Invalid("ad_id")
    kind = event.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise Invalid("kind")
    try:
        occurred_at = datetime.fromisoformat(event.get("occurred_at"))
        if occurred_at.tzinfo is None:
            raise ValueError
        # In UTC, because PostgreSQL takes fewer offsets than Python does.
        occurred_at = occurred_at.astimezone(timezone.utc)
    except (TypeError, ValueError, OverflowError):
        raise Invalid("occurred_at") from None
    ip = event.get("ip")
    if ip is not None:
        try:
            # A number would be taken for an address, and a zone does not fit in the column.
            if not isinstance(ip, str) or "%" in ip:
                raise ValueError
            ipaddress.ip_address(ip)
        except ValueError:
            raise Invalid("ip") from None
    user_agent = event.get("user_agent")
    if user_agent is not None:
        try:
            if len(user_agent.encode()) > MAX_USER_AGENT or _control(user_agent):
                raise ValueError
        except (AttributeError, ValueError):
            raise Invalid("user_agent") from None
    return ad_id, KINDS[kind], occurred_at.isoformat(), ip, user_agent
