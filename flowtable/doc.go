// Package flowtable is one core's table of connections and the records in it.
//
// A table lives in memory that its caller maps (a part of the shared segment), holds no pointer and no Go object, and is
// written by one worker alone; other processes may read it. What is in a record is data: the logic of the translator is in
// package stream of the data plane, the logic of the handshake in its package handshake.
//
// What a connection takes with nothing in flight, in bytes:
//
//	  64  Identity: key, hash, state, what was agreed, when its last segment came
//	 256  Egress and Ingress with the ends of both, two lines each: positions, windows, ledgers, nonce randomizers
//	 384  Rare: timers and generations 64, when what was seen and told 80, where key generations begin 16, their master keys 64, when they
//	      end, and keep-alive 16, templates of the gateway's own segments 144
//	 128  Setup: times 32, what is resumed 4, two ENO options 82, flags 2, the rule 4, and 4 to the end of a line
//	 128  Local, two lines: key slots, shares, paths, timer; what is out of order or begun, key generations, age
//	1024  two expanded keys of package cryptobatch, in the data plane's private memory
//	  17  its part of the index, and of what goes on in overflow buckets
//
// That is 2,001 bytes. A segment in order of a connection in its common state touches the first two parts, five lines, and the first
// line of Local.
//
// The connections of a burst are looked up together (find.go), on x86-64 by assembly that go generate writes.
//
// Memory: records, hash buckets and ledger chunks are fixed arrays whose sizes follow from the capacity the table was made
// with. Nothing is allocated after that.
package flowtable
