// Package spread makes a port with a queue for each worker of one whose device has a single queue: an AF_XDP socket, a tap, a ring,
// a NIC without RSS. It is the symmetric RSS of such a port, in software.
//
// There is no thread and no core for it. The device's queue has a turn, a flag that a worker takes where it is free, and never waits
// for. A worker that finds less than half a burst in its own ring takes the turn, receives a burst for all, keeps what is its own and puts
// the rest into the rings of the others, one producer and one consumer each at any time:
//
//	                             +-- ring --> worker 0
//	device --(whose turn it is)--+-- ring --> worker 1     what the hash says is the turn's own goes to it at once
//	                             +-- ring --> worker 2
//	device <-(whose turn it is)----- ring <-- each worker   or past its ring, where that is empty and the turn free
//
// A thread of its own would be one more hop for every packet, one more thread to wake for every burst of an adaptive gateway, and
// one more core: with S ns of spreading and T ns of work for a packet, two cores of which one also spreads carry 2/(1+2S/T) times
// what one does, because the workers' shares are equal and their cores are not; taken in turns it is 2/(1+S/T). The price is that a
// worker may be taken off its core during its turn, and the port then rests until it is back. Workers that have cores of their own
// are not.
//
// S is some 17 to 21 ns with everything in the cache of one core (BenchmarkTurn), and 40 on two cores of a virtual machine on which T was 570
// (linecrypt bench run scaling-spread). The turn brings one line from the core that had it before, and the lists that are written in it lie
// with the worker; but who spreads reads the buffers and the headers of packets that another will handle, which costs more the farther the
// cores are from each other.
//
// Which worker has a connection, Hash says, for both directions and for all ports that share it. Within a connection, and between two
// hosts in anything but TCP, packets stay in order both ways.
//
// A ring that is full loses the packet, which Stats counts (RxSpreadFull): that worker is too slow, as behind a NIC's RSS. A ring
// for sending that is full, or a device, leaves packets with the worker, as any port does.
//
// Waiting: a queue has two descriptors (port.MultiWaiter), the device's and one that is written when something is put into the ring of
// a worker that sleeps. A packet wakes all workers that sleep; one of them finds it.
//
// Memory: a packet's buffer goes through the rings, not its bytes. The device's queue has a cache of buffers of its own, which who
// has the turn uses, and any worker frees what it is given into its own. So all caches lie over one pool that any thread may use
// (mbuf.Shared, or DPDK's), and stocks even out there 256 buffers at a time. Nothing is allocated behind New.
package spread
