import json
import uuid

from django.http import JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from .tasks import store_event
from .validation import Invalid, validate


@csrf_exempt
@require_POST
def post_event(request):
    try:
        ad_id, kind, occurred_at, ip, user_agent = validate(json.loads(request.body))
    except ValueError as error:
        field = str(error) if isinstance(error, Invalid) else "body"
        return JsonResponse({"accepted": 0, "rejected": [{"index": 0, "field": field}]}, status=422)
    store_event.delay(
        event_id=str(uuid.uuid4()),
        ad_id=ad_id,
        kind=kind,
        occurred_at=occurred_at,
        received_at=timezone.now().isoformat(),
        ip=ip,
        user_agent=user_agent,
    )
    return JsonResponse({"accepted": 1, "rejected": []}, status=202)
