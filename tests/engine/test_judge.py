"""What the judge says to records that were made up: it must be able to find each fault."""
from judge import ACKNOWLEDGED, REFUSED, UNKNOWN, Gap, Heard, Joined, Published, judge

BEGUN = {1: None}


def id(epoch, position):
    return f"{epoch:08x}-{position}"


def heard(*places):
    return [Heard(id(*at), f"{at[0]}.{at[1]}") for at in places]


def from_start(*rest):
    return [Joined("A", None, False, id(1, 0)), *rest]


def resumed(behind, machine="B"):
    return Joined(machine, id(*behind), True, id(9, 9))


def refused(behind, newest):
    return Joined("B", id(*behind), False, id(*newest))


def acknowledged(*places):
    return [Published(f"{at[0]}.{at[1]}", ACKNOWLEDGED, id(*at)) for at in places]


def faults(clients, published=(), begins=None):
    named = {name: list(records) for name, records in zip("xyz", clients)}
    return judge(named, published, begins or BEGUN).faults


def test_who_hears_everything_in_order_has_nothing_to_complain_of():
    everything = from_start(*heard((1, 1), (1, 2), (1, 3)))
    roaming = from_start(*heard((1, 1)), resumed((1, 1)), *heard((1, 2)), resumed((1, 2), "A"), *heard((1, 3)))
    assert faults([everything, roaming], acknowledged((1, 1), (1, 2), (1, 3))) == []


def test_a_hole_that_others_know_of_is_found():
    whole, holed = from_start(*heard((1, 1), (1, 2), (1, 3))), from_start(*heard((1, 1), (1, 3)))
    assert faults([whole, holed]) == ["y was not told of 1 between 00000001-1 and 00000001-3: 00000001-2…"]


def test_a_hole_that_only_the_publisher_knows_of_is_found():
    [fault] = faults([from_start(*heard((1, 1), (1, 3)))], acknowledged((1, 2)))
    assert "not told of 1" in fault


def test_a_hole_behind_the_welcome_is_found():
    [fault] = faults([from_start(*heard((1, 2)))], acknowledged((1, 1)))
    assert "between 00000001-0 and 00000001-2" in fault


def test_a_hole_across_a_false_resumption_is_found():
    [fault] = faults([from_start(*heard((1, 1)), resumed((1, 1)), *heard((1, 3)))], acknowledged((1, 2)))
    assert "not told of 1" in fault


def test_a_hole_that_the_client_was_told_of_is_none():
    published = acknowledged((1, 2), (1, 3))
    by_gap = from_start(*heard((1, 1)), Gap(), *heard((1, 4)))
    by_refusal = from_start(*heard((1, 1)), refused((1, 1), (1, 3)), *heard((1, 4)))
    assert faults([by_gap, by_refusal], published) == []


def test_behind_what_one_was_told_of_nothing_may_be_missing():
    by_gap = from_start(*heard((1, 1)), Gap(), *heard((1, 4), (1, 6)))
    by_refusal = from_start(*heard((1, 1)), refused((1, 1), (1, 4)), *heard((1, 6)))
    assert len(faults([by_gap, by_refusal], acknowledged((1, 5)))) == 2


def test_what_is_heard_twice_or_out_of_order_is_found_also_across_a_gap():
    assert faults([from_start(*heard((1, 1), (1, 1)))]) == ["x heard 00000001-1 twice"]
    assert faults([from_start(*heard((1, 1)), Gap(), *heard((1, 1)))]) == ["x heard 00000001-1 twice"]
    assert faults([[Joined("A", None, False, id(1, 1)), *heard((1, 2), (1, 1))]]) == ["x heard 00000001-1 behind 00000001-2"]


def test_what_a_machine_had_not_heard_yet_may_come_again_and_nothing_else():
    def twice(newest):
        return from_start(*heard((1, 1), (1, 2), (1, 3)), refused((1, 3), newest), *heard((1, 3)))
    assert faults([twice((1, 2))]) == []
    assert faults([twice((1, 3))]) == ["x heard 00000001-3 twice"]


def test_one_id_for_two_publications_is_found():
    [fault] = faults([from_start(Heard(id(1, 1), "a")), from_start(Heard(id(1, 1), "b"))])
    assert fault == "00000001-1 is 'a' here and there 'b'"


def test_one_publication_under_two_ids_is_found():
    [fault] = faults([from_start(Heard(id(1, 1), "a"), Heard(id(1, 2), "a"))])
    assert "published twice" in fault
    # The engine has lost the first one, and the publisher tried again.
    told = from_start(Heard(id(1, 1), "a"), Gap(), Heard(id(2, 1), "a"))
    assert faults([told], begins={**BEGUN, 2: id(1, 0)}) == []


def test_what_was_refused_must_not_be_heard_and_what_nobody_knows_may():
    records = [from_start(Heard(id(1, 1), "a"))]
    assert faults(records, [Published("a", REFUSED)]) == ["'a' was refused, and heard"]
    assert faults(records, [Published("a", UNKNOWN)]) == []


def test_an_acknowledgement_with_the_id_of_another_is_found():
    [fault] = faults([from_start(Heard(id(1, 1), "a"))], [Published("b", ACKNOWLEDGED, id(1, 1))])
    assert "acknowledged as 00000001-1" in fault


def test_who_has_heard_what_the_engine_lost_must_be_told():
    begins = {**BEGUN, 2: id(1, 1)}
    silent = from_start(*heard((1, 1), (1, 2), (2, 1)))
    told = from_start(*heard((1, 1), (1, 2)), Gap(), *heard((2, 1)))
    by_refusal = from_start(*heard((1, 1), (1, 2)), refused((1, 2), (2, 0)), *heard((2, 1)))
    unaware = from_start(*heard((1, 1), (2, 1)))
    assert faults([silent], begins=begins) == ["x was not told that 00000001-2 is lost, ahead of 00000002-1"]
    assert faults([told, by_refusal, unaware], acknowledged((1, 2)), begins) == []


def test_who_was_welcomed_with_what_the_engine_lost_must_be_told():
    silent = [Joined("A", None, False, id(1, 2)), *heard((2, 1))]
    [fault] = faults([silent], begins={**BEGUN, 2: id(1, 1)})
    assert "is lost" in fault


def test_who_has_heard_anything_of_a_history_that_is_forgotten_must_be_told():
    [fault] = faults([from_start(*heard((1, 1), (2, 1)))], begins={**BEGUN, 2: None})
    assert "is lost" in fault


def test_what_was_not_lost_counts_across_epochs():
    begins = {**BEGUN, 2: id(1, 2)}
    [fault] = faults([from_start(*heard((1, 1), (2, 1)))], acknowledged((1, 2)), begins)
    assert "between 00000001-1 and 00000002-1" in fault
    assert faults([from_start(*heard((1, 1), (1, 2), (2, 1)))], begins=begins) == []


def test_an_epoch_that_was_cut_off_itself_cuts_nothing():
    # Epoch 2 began on a master that was given up, behind 1-1; epoch 3 goes on from a replica that had 1-2.
    begins = {**BEGUN, 2: id(1, 1), 3: id(1, 2)}
    assert faults([from_start(*heard((1, 1), (1, 2), (3, 1)))], begins=begins) == []
    [fault] = faults([from_start(*heard((1, 1), (3, 1)))], acknowledged((1, 2)), begins)
    assert "not told of 1" in fault


def test_what_was_acknowledged_and_lost_is_counted():
    published = acknowledged((1, 1), (1, 2), (2, 1))
    assert judge({"x": []}, published, {**BEGUN, 2: id(1, 1)}).lost == [(1, 2)]
    assert judge({"x": []}, published, {**BEGUN, 2: None}).lost == [(1, 1), (1, 2)]


def test_a_no_to_an_id_that_the_server_says_it_has_is_in_vain_and_one_that_it_cannot_know_is_not():
    def verdict(newest):
        return judge({"x": from_start(*heard((1, 1), (1, 2)), refused((1, 2), newest))}, [], BEGUN)
    assert (len(verdict((1, 5)).told), len(verdict((1, 5)).in_vain)) == (1, 1)
    assert (len(verdict((1, 1)).told), len(verdict((1, 1)).in_vain)) == (1, 0)
