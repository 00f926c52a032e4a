package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"linecrypt/bench/topology"
)

// How a far end goes wrong in mid-transfer.
type trouble uint8

const (
	stall  trouble = iota // it stops reading: its window closes
	vanish                // nothing comes from it any more, and nothing reaches it
)

// bulkPort is where the server sends without an end to whoever connects.
const bulkPort = 7002

// besideRate is what the other connection sends: little enough that a machine of two cores has room for it.
const besideRate = "200M"

// shares opens many downloads, has all their clients stall or vanish, and measures what another connection carries beside them.
func (s *soak) shares(how trouble) (report, error) {
	var r report
	b, err := s.bed()
	if err != nil {
		return r, err
	}
	err = s.sharesBed(b, how, &r)
	return r, errors.Join(err, b.close())
}

func (s *soak) sharesBed(b *bed, how trouble, r *report) error {
	l, err := b.top.Server.Listen(net.JoinHostPort(topology.Server4, fmt.Sprint(bulkPort)))
	if err != nil {
		return err
	}
	var sent atomic.Int64
	go serveBulk(l, &sent)
	b.stop = append(b.stop, func() { l.Close() })
	stopIperf, err := b.top.StartIperf()
	if err != nil {
		return err
	}
	b.stop = append(b.stop, stopIperf)
	// Only what comes from the server passes gateway B's egress, which the downloads fill.
	before, err := b.top.Iperf(context.Background(), 5, "-R", "-b", besideRate)
	if err != nil {
		return err
	}
	clients, err := s.download(b, how)
	defer func() {
		for _, c := range clients {
			c.Close()
		}
	}()
	if err != nil {
		return err
	}
	if how == vanish {
		time.Sleep(2 * time.Second) // until the windows are open
		// No FIN, no RST: as if a cable had been cut.
		rule := fmt.Sprintf("table bridge soak { chain c { type filter hook forward priority 0; tcp sport %d drop; tcp dport %d drop; }; }", bulkPort, bulkPort)
		if _, err := b.top.Wire.Run("nft", rule); err != nil {
			return err
		}
	}
	for range 2 {
		time.Sleep(3 * time.Second)
		r.lines = append(r.lines, describe(b)...)
	}
	during, err := b.top.Iperf(context.Background(), int(s.long.Seconds()/2), "-R", "-b", besideRate)
	if err != nil {
		return fmt.Errorf("beside %d: %w", len(clients), err)
	}
	r.lines = append(r.lines, describe(b)...)
	r.say("%d far ends; %.1f MB were sent to them; another connection: %.1f Mbit/s before, %.1f beside them", len(clients), float64(sent.Load())/1e6,
		before/1e6, during/1e6)
	return bar("throughput of another connection", during/before, throughputShare, nil)
}

// firstBytes is how long a download may take to begin. Hundreds of them on two cores lose packets for want of CPU, and the retransmission
// timeout of one that loses some in a row doubles to more than ten seconds; what is measured comes after that.
const firstBytes = time.Minute

// download opens the connections, each of which reads a little, and then no more or, where it shall vanish, on and on.
func (s *soak) download(b *bed, how trouble) ([]*net.TCPConn, error) {
	var mu sync.Mutex
	var clients []*net.TCPConn
	var first error
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	for range s.far {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(context.Background(), firstBytes)
			defer cancel()
			c, err := b.top.Client.Dial(ctx, net.JoinHostPort(topology.Server4, fmt.Sprint(bulkPort)))
			if err == nil {
				_ = c.SetReadDeadline(time.Now().Add(firstBytes))
				_, err = io.ReadFull(c, make([]byte, 64<<10))
			}
			if err == nil && how == vanish {
				_ = c.SetReadDeadline(time.Time{})
				go io.Copy(io.Discard, c) // ends with the connection
			}
			mu.Lock()
			defer mu.Unlock()
			if c != nil {
				clients = append(clients, c)
			}
			if err != nil && first == nil {
				first = fmt.Errorf("download: %w", err)
			}
		})
	}
	wg.Wait()
	return clients, first
}

func serveBulk(l *net.TCPListener, sent *atomic.Int64) {
	block := make([]byte, 256<<10)
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for {
				n, err := c.Write(block)
				sent.Add(int64(n))
				if err != nil {
					return
				}
			}
		}()
	}
}
