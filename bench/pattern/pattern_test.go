package pattern

import (
	"bytes"
	"crypto/rand"
	"io"
	"strings"
	"testing"
)

func TestMixIsABijection(t *testing.T) {
	for _, x := range []uint64{0, 1, 7, 1 << 40, 1<<64 - 1, 0x123456789abcdef0} {
		if unmix(mix(x)) != x || mix(unmix(x)) != x {
			t.Errorf("%#x is not recovered", x)
		}
	}
}

func TestFillGivesTheSameBytesInAnyPieces(t *testing.T) {
	whole := make([]byte, 1000)
	Fill(whole, 3, 0)
	for from := range 40 {
		for n := range 40 {
			piece := make([]byte, n)
			Fill(piece, 3, int64(from))
			if !bytes.Equal(piece, whole[from:from+n]) {
				t.Fatalf("%d bytes at %d differ", n, from)
			}
		}
	}
}

func TestVerifierAcceptsItsStreamAndNamesTheFirstWrongByte(t *testing.T) {
	v := &Verifier{Stream: 9}
	if n, err := io.Copy(v, &Reader{Stream: 9, Left: 100_001}); err != nil || n != 100_001 || v.Offset != n {
		t.Fatalf("copied %d, seen %d: %v", n, v.Offset, err)
	}
	next := make([]byte, 100)
	Fill(next, 9, 100_001+64)
	if _, err := v.Write(next); err == nil || !strings.Contains(err.Error(), "at byte 100001 stands byte 100065 of stream 9") {
		t.Errorf("skipped bytes: %v", err)
	}
	if _, err := v.Write(make([]byte, 20)); err == nil || !strings.Contains(err.Error(), "byte 100001 is wrong") {
		t.Errorf("zeroes: %v", err)
	}
}

func TestFindSeesEveryRunOf16BytesWhereverItLies(t *testing.T) {
	noise := make([]byte, 200)
	for offset := range int64(24) {
		for at := range 24 {
			_, _ = rand.Read(noise)
			Fill(noise[at:at+MinRun], 5, offset)
			r, found := Find(noise)
			if !found || r.Stream != 5 || r.At > at || r.At+r.Len < at+MinRun || r.Offset-int64(r.At) != offset-int64(at) {
				t.Fatalf("offset %d at %d: %+v, %t", offset, at, r, found)
			}
		}
	}
}

func TestFindInventsNothing(t *testing.T) {
	b := make([]byte, 1<<20)
	for range 4 {
		_, _ = rand.Read(b)
		if r, found := Find(b); found {
			t.Fatalf("found %+v in random bytes", r)
		}
	}
	short := make([]byte, MinRun-1)
	Fill(short, 1, 8)
	if _, found := Find(short); found {
		t.Error("found a run that is too short")
	}
}

func BenchmarkFind(b *testing.B) {
	data := make([]byte, 1<<20)
	_, _ = rand.Read(data)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, found := Find(data); found {
			b.Fatal("found")
		}
	}
}

func TestDiffersFindsEveryWrongByte(t *testing.T) {
	b := make([]byte, 40)
	for offset := range int64(17) {
		Fill(b, 7, offset)
		if at := Differs(b, 7, offset); at != -1 {
			t.Fatalf("offset %d: byte %d of right ones is wrong", offset, at)
		}
		for i := range b {
			b[i] ^= 0x10
			if at := Differs(b, 7, offset); at != i {
				t.Fatalf("offset %d: byte %d was changed, %d is found", offset, i, at)
			}
			b[i] ^= 0x10
		}
	}
}
