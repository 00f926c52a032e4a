package cryptobatch

import "github.com/klauspost/cpuid/v2"

//go:generate sh -c "cd _gen && go run ./gcmavx -lanes 1 -out ../gcm_avx2_amd64.s -stubs ../gcm_avx2_stubs_amd64.go -pkg cryptobatch"

// Avx2Name is the name of the engine for CPUs with AVX2 and no vector AES.
const Avx2Name = "avx2"

// avx2Runs asks for all that the assembly of both families uses.
func avx2Runs(cpu *cpuid.CPUInfo) bool {
	return cpu.Supports(cpuid.AVX2, cpuid.BMI2, cpuid.AESNI, cpuid.CLMUL)
}

// newAvx2 makes the engine that works AES-GCM by one block in each instruction.
func newAvx2() (Engine, error) {
	return newVector(Avx2Name, gcmRoutines{expandAES128Avx2, expandAES256Avx2, sealBurstAvx2, openBurstAvx2}, newChaChaAvx2)
}
