"""How questions are put; shared with tests/peers."""


def ask(text):
    """Messages of one question."""
    return [{"role": "user", "content": text}]


def settled(create, **request):
    """An answer to a prompt that was asked before: a cold and a cached one round differently, so answers that are
    compared must all begin from the cached one."""
    create(**request)
    return create(**request)
