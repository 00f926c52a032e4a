package cryptobatch

import "github.com/klauspost/cpuid/v2"

//go:generate sh -c "cd _gen && go run ./gcmavx -lanes 2 -out ../gcm_vaes256_amd64.s -stubs ../gcm_vaes256_stubs_amd64.go -pkg cryptobatch"

// Vaes256Name is the name of the engine for CPUs with vector AES and no AVX-512.
const Vaes256Name = "vaes256"

// vaes256Runs asks for all that the assembly of both families uses.
func vaes256Runs(cpu *cpuid.CPUInfo) bool {
	return avx2Runs(cpu) && cpu.Supports(cpuid.VAES, cpuid.VPCLMULQDQ)
}

// newVaes256 makes the engine that works AES-GCM by two blocks in each instruction.
func newVaes256() (Engine, error) {
	return newVector(Vaes256Name, gcmRoutines{expandAES128Vaes256, expandAES256Vaes256, sealBurstVaes256, openBurstVaes256}, newChaChaAvx2)
}
