package cryptobatch

import "github.com/klauspost/cpuid/v2"

//go:generate sh -c "cd _gen && go run ./gcm -out ../gcm_vaes512_amd64.s -stubs ../gcm_vaes512_stubs_amd64.go -pkg cryptobatch"

// Vaes512Name is the name of the engine for AVX-512 with vector AES.
const Vaes512Name = "vaes512"

// vaes512Runs asks for all that the assembly of both families uses. The cpuid
// package reports AVX-512 only where the operating system saves its registers.
func vaes512Runs(cpu *cpuid.CPUInfo) bool {
	return cpu.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL, cpuid.AVX512IFMA, cpuid.AVX512VBMI,
		cpuid.VAES, cpuid.VPCLMULQDQ, cpuid.AESNI, cpuid.CLMUL, cpuid.BMI1, cpuid.BMI2, cpuid.AVX2)
}

// newVaes512 makes the engine that works AES-GCM by four blocks in each instruction.
func newVaes512() (Engine, error) {
	return newVector(Vaes512Name,
		gcmRoutines{expandAES128Vaes512, expandAES256Vaes512, sealBurstVaes512, openBurstVaes512}, newChaCha512)
}
