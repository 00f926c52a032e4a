// Package flowtable is one core's table of connections and the records in it.
//
// A table lives in memory that its caller maps (a part of the shared segment), holds no pointer and no Go object, and is
// written by one worker alone; other processes may read it. What is in a record is data: the logic of the translator is in
// package stream of the data plane, the logic of the handshake in its package handshake.
//
// Memory: records, hash buckets and ledger chunks are fixed arrays whose sizes follow from the capacity the table was made
// with. Nothing is allocated after that.
package flowtable
