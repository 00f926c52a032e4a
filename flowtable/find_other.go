//go:build !amd64

package flowtable

func (t *Table) findAll(keys []Key, hashes []uint32, out []Index) (missed uint64) {
	return t.findAllGo(keys, hashes, out)
}
