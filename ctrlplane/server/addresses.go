package server

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// addressesOf returns the addresses of the network namespace that a process lives in, without those of the loopback, IPv4 in their
// IPv6-mapped form.
func addressesOf(pid int32) ([][16]byte, error) {
	dir := "/proc/" + strconv.Itoa(int(pid)) + "/net/"
	four, err := os.Open(dir + "fib_trie")
	if err != nil {
		return nil, err
	}
	defer four.Close()
	list := parseTrie(four)
	if six, err := os.Open(dir + "if_inet6"); err == nil { // there is none where IPv6 is off
		defer six.Close()
		list = append(list, parseInet6(six)...)
	}
	return list, nil
}

// foreign reports whether a process lives in another user namespace than this one, or may do so. Whoever may make one is free to have network
// namespaces in it with whatever addresses he likes, and none of them is this machine's.
func foreign(pid int32) bool {
	theirs, err := os.ReadFile("/proc/" + strconv.Itoa(int(pid)) + "/uid_map")
	own, err2 := os.ReadFile("/proc/self/uid_map")
	return err != nil || err2 != nil || !bytes.Equal(theirs, own)
}

// parseTrie finds the host's own addresses in /proc/net/fib_trie: a leaf with "/32 host LOCAL" below it.
func parseTrie(r io.Reader) (list [][16]byte) {
	var leaf netip.Addr
	for sc := bufio.NewScanner(r); sc.Scan(); {
		line := strings.TrimSpace(sc.Text())
		if rest, ok := strings.CutPrefix(line, "|-- "); ok {
			leaf, _ = netip.ParseAddr(rest)
			continue
		}
		if line != "/32 host LOCAL" || !leaf.Is4() || leaf.IsLoopback() {
			continue
		}
		if a := leaf.As16(); !slices.Contains(list, a) { // the table is listed twice
			list = append(list, a)
		}
	}
	return list
}

// parseInet6 reads /proc/net/if_inet6, a line for each address.
func parseInet6(r io.Reader) (list [][16]byte) {
	for sc := bufio.NewScanner(r); sc.Scan(); {
		text, _, _ := strings.Cut(sc.Text(), " ")
		b, err := hex.DecodeString(text)
		if err != nil || len(b) != 16 {
			continue
		}
		if a := [16]byte(b); !netip.AddrFrom16(a).IsLoopback() && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}
