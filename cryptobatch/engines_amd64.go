package cryptobatch

// accelerated lists the engines in assembly, the fastest first.
func accelerated() []entry {
	return []entry{
		{Vaes512Name, vaes512Runs, newVaes512},
		{Avx2Name, avx2Runs, newAvx2},
	}
}
