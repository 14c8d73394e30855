"""The membership of the rehearsed etcd: joining as a learner, promotion, leaving, and the quorum that each needs.

One real etcd serves the rehearsed cluster, so this is a model of its members. `lab.hardware.talos_node` decides when a
node joins or leaves; `lab.hardware.rack` stores the members. It refuses the same requests as etcd, with the messages of
etcd.
"""

from __future__ import annotations

from errors import HardwareRefused
from lab.hardware.rack import Rack, TalosNode

PROMOTE_SECONDS = 1.0
RETRY_SECONDS = 0.5
JOIN, PROMOTE = "join etcd", "promote"


def voters(rack: Rack) -> set[str]:
    """Return the members that vote: all but learners."""
    return set(rack.members()) - learners(rack)


def learners(rack: Rack) -> set[str]:
    """Return the members that joined and are not promoted yet."""
    promoted_later = rack.scheduled(PROMOTE)
    return {node.name for node in rack.nodes() if node.vm.vm_id in promoted_later}


def runs(rack: Rack, node: TalosNode) -> bool:
    """Report whether etcd runs on a node: its disk holds the data of a member, and not that of an earlier VM."""
    return node.name in rack.members() and node.vm.vm_id not in rack.scheduled(JOIN) and bool(node.configuration)


def require_leader(rack: Rack) -> None:
    """Refuse a request that needs a leader if most voters are gone."""
    all_voters = voters(rack)
    alive = {node.name for node in rack.nodes() if runs(rack, node) and not rack.is_broken("answer", node.vm.name)}
    if len(all_voters & alive) * 2 <= len(all_voters):
        raise HardwareRefused("rpc error: code = Unavailable desc = etcdserver: no leader")


def begin(rack: Rack, node: TalosNode) -> None:
    """Make a node the first member."""
    rack.add_member(node.name, node.vm.address)


def join(rack: Rack, node: TalosNode) -> None:
    """Join a node as a learner, or retry later: etcd accepts one learner at a time, and only with a quorum.

    A member of the same name is an earlier VM of the node, which Talos removes first.
    """
    if not rack.members():
        return  # etcd waits to join; `bootstrap` schedules it again
    try:
        require_leader(rack)
    except HardwareRefused:
        rack.schedule(node.vm.vm_id, JOIN, RETRY_SECONDS)
        return
    if learners(rack):
        rack.schedule(node.vm.vm_id, JOIN, RETRY_SECONDS)
        return
    if node.name in rack.members():
        rack.remove_member(node.name)
    rack.add_member(node.name, node.vm.address)
    rack.schedule(node.vm.vm_id, PROMOTE, PROMOTE_SECONDS)


def leave(rack: Rack, node: TalosNode) -> None:
    """Remove the member of a node that leaves: the node stops etcd and deletes its data."""
    require_leader(rack)
    rack.remove_member(node.name)


def remove(rack: Rack, member_id: str) -> None:
    """Remove a member by its id."""
    require_leader(rack)
    for name, (_, member) in rack.members().items():
        if member == member_id:
            rack.remove_member(name)
            return
    raise HardwareRefused("rpc error: code = NotFound desc = etcdserver: member not found")
