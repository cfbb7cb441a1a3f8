"""What a unit sees: its own writes at once, and the cache as soon as that knows more."""

from agent.view import TRUSTED_FOR, View
from shared.model import ObjectRef
from shared.tasks import Clock

REF = ObjectRef("v1", "ConfigMap", "web", "a")


class Moved(Clock):
    at = 0.0

    def monotonic(self):
        return self.at


class Cache:
    """The part of LiveCache that a view reads."""

    def __init__(self):
        self.objects = {}

    def get(self, ref):
        return self.objects.get(ref)

    def version(self, ref):
        found = self.objects.get(ref)
        return found["metadata"]["resourceVersion"] if found else None

    def part_of(self, _set_id):
        return tuple(self.objects)


def live(version):
    return {"metadata": {"name": "a", "resourceVersion": str(version)}}


def setup():
    cache, clock = Cache(), Moved()
    return View(cache, clock, "set"), cache, clock


def test_a_write_is_seen_before_the_cache_hears_of_it():
    view, _, _ = setup()

    view.wrote(REF, live(5))

    assert view.get(REF) == live(5)
    assert view.members() == (REF,)


def test_an_older_event_does_not_take_a_write_back():
    view, cache, _ = setup()
    view.wrote(REF, live(5))
    cache.objects[REF] = live(4)

    assert not view.changed(REF.key, "4")
    assert view.get(REF) == live(5)


def test_the_echo_of_a_write_is_no_news_and_a_later_change_is():
    view, cache, _ = setup()
    view.wrote(REF, live(5))
    cache.objects[REF] = live(5)
    assert not view.changed(REF.key, "5")

    cache.objects[REF] = live(6)

    assert view.changed(REF.key, "6")
    assert view.get(REF) == live(6)


def test_a_deletion_is_news():
    view, _, _ = setup()
    view.wrote(REF, live(5))

    assert view.changed(REF.key, None)
    assert view.get(REF) is None


def test_a_write_the_cache_never_hears_of_is_not_believed_for_ever():
    view, _, clock = setup()
    view.wrote(REF, live(5))

    clock.at += TRUSTED_FOR + 1

    assert view.get(REF) is None
    assert view.members() == ()


def test_what_we_deleted_is_gone():
    view, _, _ = setup()
    view.wrote(REF, live(5))

    view.deleted(REF)

    assert view.members() == ()


def test_an_object_is_settled_when_the_cache_has_it_as_new_as_we_wrote_it():
    view, cache, clock = setup()
    assert not view.settled(REF)  # a kind that may not be watched is never in the cache

    view.wrote(REF, live(5))
    assert not view.settled(REF)
    cache.objects[REF] = live(4)
    assert not view.settled(REF)
    cache.objects[REF] = live(5)
    assert view.settled(REF)

    clock.at = TRUSTED_FOR * 2
    assert view.settled(REF)


def test_whether_a_write_was_heard_of_before_its_answer_came():
    view, cache, _ = setup()
    cache.objects[REF] = live(5)

    assert view.wrote(REF, live(5))
    assert not view.wrote(REF, live(6))
