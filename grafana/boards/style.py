"""One colour for each meaning and one way to draw each kind of value, on every board."""

# Names of Grafana's palette follow the theme; the hex values are readable on dark and on light.
SERVED = "green"
REFUSED = "yellow"
FAILED = "red"
LEFT = "#8E8E9A"
WARNING = "orange"
NEUTRAL = "blue"

P50 = "blue"
P95 = "purple"
P99 = "#E0529C"

PROMPT = "#1F9E89"
CACHED = "#6CC5B5"
GENERATED = "#C98A2B"

RUNNING = "green"
WAITING = "orange"

# Hues that mean nothing else: for the known values of a label, where no one of them is good or bad.
SKY, APRICOT, LAVENDER, TEAL = "#5AA9E6", "#F2A65A", "#9B7EDE", "#3FB8A9"
ROSE, OLIVE, SLATE, CLAY = "#E57FA8", "#B8A04C", "#8D99AE", "#C97B63"

ROUTES = {
    "create_chat_completion": SKY,
    "create_response": LAVENDER,
    "create_completion": TEAL,
    "create_embeddings": APRICOT,
    "predict": ROSE,
    "list_models": OLIVE,
    "healthz": CLAY,
    "readyz": SLATE,
}
ERRORS = {
    "authentication": SKY,
    "permission": LAVENDER,
    "invalid_request": SLATE,
    "not_found": OLIVE,
    "conflict": TEAL,
    "rate_limit": REFUSED,
    "overloaded": WARNING,
    "server": FAILED,
}
CREDENTIALS = {
    "missing": SLATE,
    "malformed": OLIVE,
    "unknown": ROSE,
    "expired": SKY,
    "revoked": LAVENDER,
    "disabled": CLAY,
    "throttled": APRICOT,
    "bad_signature": TEAL,
}
LIMITS = {"requests": SKY, "tokens": TEAL, "concurrency": LAVENDER, "budget": APRICOT}
ROLES = {"admin": ROSE, "operator": LAVENDER, "user": SKY, "viewer": SLATE}
STORES = {"auth": SKY, "conversations": LAVENDER, "events": TEAL, "limits": APRICOT}
REJECTED = {
    "body": OLIVE,
    "decode": SLATE,
    "protocol": CLAY,
    "series": LAVENDER,
    "labels": TEAL,
    "instances": APRICOT,
}

# Share of requests that may fail, and share of first tokens that may take longer than a second.
OBJECTIVE_AVAILABILITY = 0.999
OBJECTIVE_FIRST_TOKEN = 0.95
FIRST_TOKEN_SECONDS = 1

# What Grafana calls them.
SECONDS = "s"
SHARE = "percentunit"
PER_SECOND = "reqps"
COUNTS_PER_SECOND = "cps"
OPERATIONS_PER_SECOND = "ops"
TOKENS_PER_SECOND = "si:tok/s"
COUNT = "short"
BYTES = "bytes"


def thresholds(*steps, base="green"):
    """Steps are (value, colour), from the lowest; below the first it is `base`."""
    listed = [{"value": None, "color": base}]
    listed += [{"value": value, "color": colour} for value, colour in steps]
    return {"mode": "absolute", "steps": listed}


NO_THRESHOLDS = thresholds(base="text")
# Of what runs full: KV, budgets, file descriptors.
FULL = thresholds((0.8, WARNING), (0.95, FAILED))
# A share that has to be at least the objective.
AVAILABLE = thresholds((OBJECTIVE_AVAILABILITY, SERVED), base=FAILED)
SOON = thresholds((OBJECTIVE_FIRST_TOKEN, SERVED), base=FAILED)
# Lines across a graph: nothing below, the objective above.
ERROR_LINE = thresholds((round(1 - OBJECTIVE_AVAILABILITY, 6), FAILED), base="transparent")
FIRST_TOKEN_LINE = thresholds((FIRST_TOKEN_SECONDS, FAILED), base="transparent")
FULL_LINES = thresholds((0.8, WARNING), (0.95, FAILED), base="transparent")
