package cryptobatch

// accelerated lists the engines in assembly, the fastest first.
func accelerated() []entry {
	return []entry{
		{Vaes512Name, vaes512Runs, newVaes512},
		{Vaes256Name, vaes256Runs, newVaes256},
		{Avx2Name, avx2Runs, newAvx2},
	}
}
