package flowtable

import "unsafe"

//go:generate sh -c "cd _gen && go run . -out ../find_amd64.s -stubs ../find_stubs_amd64.go -pkg flowtable"

func (t *Table) findAll(keys []Key, hashes []uint32, out []Index) (missed uint64) {
	_, _ = keys[len(out)-1], hashes[len(out)-1]
	return findAll((*byte)(unsafe.Pointer(unsafe.SliceData(t.buckets))), t.primary, (*byte)(t.records), t.capacity,
		(*byte)(unsafe.Pointer(unsafe.SliceData(keys))), unsafe.SliceData(hashes), (*uint32)(unsafe.SliceData(out)), len(out))
}
