"""Says whether what clients were told can be true of one order that all machines share: nothing twice, nothing out of order,
and nothing missing without a word.

Knows records only; neither engines nor servers. An id is `<epoch in hexadecimal>-<position>`, as clients are told it.
"""
import bisect
import itertools
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Joined:
    """A connection begins, behind an id if one was asked for. The newest id is the server's own."""
    machine: str
    asked: str | None
    resumed: bool
    newest: str


@dataclass(frozen=True)
class Heard:
    id: str
    datum: object


@dataclass(frozen=True)
class Gap:
    """Something may have been missed, a live connection was told."""


@dataclass(frozen=True)
class Published:
    """What became of a publication: acknowledged with its id, refused for certain, or nobody knows."""
    datum: object
    outcome: str
    id: str | None = None


ACKNOWLEDGED, REFUSED, UNKNOWN = "acknowledged", "refused", "unknown"


def place(id):
    """Where an id stands among all."""
    epoch, position = id.split("-")
    return int(epoch, 16), int(position)


@dataclass
class Verdict:
    faults: list = field(default_factory=list)  # what must never be
    told: list = field(default_factory=list)    # who was told that something may be missing, and how
    in_vain: list = field(default_factory=list)  # those of them whose server had what they asked for, and said no
    lost: list = field(default_factory=list)    # acknowledged, and lost by the engine
    heard: int = 0


def judge(clients, published, begins):
    """Each client's records by its name; the publications; and of each epoch that the engine knows the id behind which it
    began, or `None` where nothing is known to come before it."""
    order = Order(clients, published, begins)
    verdict = Verdict(faults=order.contradictions(), lost=order.lost_acknowledged())
    for name, records in clients.items():
        Walk(name, order, verdict).over(records)
    return verdict


class Order:
    """What all clients and publishers know of the order, taken together."""

    def __init__(self, clients, published, begins):
        self.published = published
        self.heard = {}  # by place, what was heard there, in all versions
        for record in itertools.chain(*clients.values()):
            if isinstance(record, Heard):
                self.heard.setdefault(place(record.id), set()).add(repr(record.datum))
        self.cuts = surviving_cuts(begins)
        known = set(self.heard) | {place(each.id) for each in published if each.outcome == ACKNOWLEDGED}
        self.known = sorted(at for at in known if not self.is_cut(at))

    def is_cut(self, at):
        """Whether an epoch has begun behind a place before this one: the engine has lost it."""
        return any(after is not None and after < at < begin for begin, after in self.cuts)

    def is_forgotten(self, at):
        """Whether an epoch has begun that knows of nothing before it."""
        return any(after is None and at < begin for begin, after in self.cuts)

    def between(self, low, high):
        """What is known to stand between two places."""
        return self.known[bisect.bisect_right(self.known, low):bisect.bisect_left(self.known, high)]

    def lies_across_a_loss(self, earlier, later):
        """Whether the engine lost the earlier of two publications before there was the later one."""
        return any((after is None or after < earlier) and earlier < begin <= later for begin, after in self.cuts)

    def lost_acknowledged(self):
        places = [place(each.id) for each in self.published if each.outcome == ACKNOWLEDGED]
        return [at for at in places if self.is_cut(at) or self.is_forgotten(at)]

    def contradictions(self):
        faults = [f"{shown(at)} is {' here and there '.join(sorted(data))}"
                  for at, data in self.heard.items() if len(data) > 1]
        places = {}
        for at, data in self.heard.items():
            if not self.is_cut(at) and not self.is_forgotten(at):
                for datum in data:
                    places.setdefault(datum, set()).add(at)
        faults += [f"{datum} was published twice: {', '.join(map(shown, sorted(where)))}"
                   for datum, where in places.items() if len(where) > 1]
        anywhere = set().union(*self.heard.values())
        for each in self.published:
            datum = repr(each.datum)
            if each.outcome == REFUSED and datum in anywhere:
                faults.append(f"{datum} was refused, and heard")
            at = place(each.id) if each.outcome == ACKNOWLEDGED else None
            if at in self.heard and datum not in self.heard[at]:
                faults.append(f"{datum} was acknowledged as {each.id}, where {self.heard[at]} was heard")
        return faults


def surviving_cuts(begins):
    """The begins of epochs that no later one has cut off, each with the place that it followed."""
    cuts = []
    for epoch in sorted(begins, reverse=True):
        begin, after = (epoch, 0), begins[epoch] and place(begins[epoch])
        if all(later is None or begin <= later for _, later in cuts):
            cuts.append((begin, after))
    return cuts


class Walk:
    """Follows one client. `at` is up to where it knows everything, or was told that it does not."""

    def __init__(self, name, order, verdict):
        self.name, self.order, self.verdict = name, order, verdict
        self.at = None
        self.seen = set()

    def over(self, records):
        for record in records:
            match record:
                case Joined():
                    self.join(record)
                case Gap():
                    self.verdict.told.append(f"{self.name}: gap behind {shown(self.at)}")
                    self.at = None
                case Heard():
                    self.hear(place(record.id))

    def join(self, joined):
        if joined.resumed and joined.asked is None:
            self.fault("was resumed without having asked")
        if joined.resumed:
            return
        if joined.asked is not None:
            refusal = f"{self.name}: {joined.machine} did not resume {joined.asked}, its newest is {joined.newest}"
            self.verdict.told.append(refusal)
            if place(joined.newest) >= place(joined.asked):
                self.verdict.in_vain.append(refusal)
        self.at = place(joined.newest)
        # A machine that lags behind the one before says so, and brings once more what it has not heard yet.
        self.seen = {at for at in self.seen if at <= self.at}

    def hear(self, at):
        self.verdict.heard += 1
        if at in self.seen:
            self.fault(f"heard {shown(at)} twice")
        elif self.at is not None and at <= self.at:
            self.fault(f"heard {shown(at)} behind {shown(self.at)}")
        elif self.at is not None:
            if self.order.lies_across_a_loss(self.at, at):
                self.fault(f"was not told that {shown(self.at)} is lost, ahead of {shown(at)}")
            elif missing := self.order.between(self.at, at):
                self.fault(f"was not told of {len(missing)} between {shown(self.at)} and {shown(at)}: {shown(missing[0])}…")
        self.seen.add(at)
        self.at = at

    def fault(self, what):
        self.verdict.faults.append(f"{self.name} {what}")


def shown(at):
    return at and f"{at[0]:08x}-{at[1]}"
