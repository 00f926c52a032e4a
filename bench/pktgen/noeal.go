//go:build !dpdk || !cgo

package pktgen

import (
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port/portspec"
)

// What follows is for programs with DPDK.

func (p *plan) poolMB() int { return 0 }

func hugePagesFor(int) error { return portspec.ErrNoDPDK }

func (p *plan) startEAL(bool) (mbuf.Pool, error) { return p.pool, portspec.ErrNoDPDK }

func (p *plan) openRings(mbuf.Pool, []*mbuf.Cache) (pairs [2]pair, undo func() error, err error) {
	return pairs, nil, portspec.ErrNoDPDK
}
