package shm

// Counter is the place of a counter in a worker's block.
type Counter uint16

// MaxCounters is the number of places in a block.
const MaxCounters = 512

// Block is one worker's counters, each written by that worker alone.
type Block [MaxCounters]uint64

// Stage is a station that every burst passes, in this order.
type Stage uint8

// The stages.
const (
	StageRx Stage = iota
	StageParse
	StageLookup
	StageStream
	StageCrypto
	StageRewrite
	StageTx
	NumStages
)

var stageNames = [NumStages]string{"rx", "parse", "lookup", "stream", "crypto", "rewrite", "tx"}

// String returns the stage's name.
func (s Stage) String() string {
	if s < NumStages {
		return stageNames[s]
	}
	return "invalid"
}

// Packets returns the counter of packets that went through the stage.
func (s Stage) Packets() Counter { return firstStage + 2*Counter(s) }

// Stage returns the stage whose packets or cycles the counter counts, false for other counters.
func (c Counter) Stage() (Stage, bool) {
	if c < firstStage || c >= RxInsidePackets {
		return NumStages, false
	}
	return Stage((c - firstStage) / 2), true
}

// String returns the counter's name, "none" for CounterNone.
func (c Counter) String() string {
	if st, ok := c.Stage(); ok {
		if c == st.Cycles() {
			return "stage_" + st.String() + "_cycles"
		}
		return "stage_" + st.String() + "_packets"
	}
	if c >= RxInsidePackets && c < NumCounters {
		return counterInfos[c].Name
	}
	return "none"
}

// Cycles returns the counter of TSC cycles spent in the stage.
func (s Stage) Cycles() Counter { return firstStage + 2*Counter(s) + 1 }

// CounterNone is the place that counts nothing; behind it lie those of Stage.
const (
	CounterNone Counter = 0
	firstStage  Counter = 1
)

// The counters: of the ports and the worker, then, from SealedFrames on, of the stream translator. A new one, as for a new reason to
// drop a packet, is a constant here and a line in counterInfos.
const (
	RxInsidePackets = firstStage + 2*Counter(NumStages) + iota
	RxInsideBytes
	RxOutsidePackets
	RxOutsideBytes
	TxInsidePackets
	TxInsideBytes
	TxOutsidePackets
	TxOutsideBytes
	PassedPackets
	PassedBytes
	Polls
	IdlePolls
	IdleSleeps
	BusyCycles
	IdleCycles
	TimersFired
	FlowsCreated
	FlowsRemoved
	FlowsEvicted
	FlowsRecovered
	HandshakesActive
	HandshakesPassive
	HandshakesDone
	HandshakesFallback
	HandshakesRefused
	HandshakesAborted
	HandshakeResent
	SynWithoutENO
	RequestsSent
	RequestsLost
	RepliesReceived
	RepliesStale
	RepliesBad
	RingResets
	ICMPTranslated
	DropTxFull
	DropNoBuffer
	DropParse
	DropChecksum
	DropFragment
	DropSuperPacket
	DropTableFull
	DropRefused
	DropHandshake
	DropHeld
	DropICMP
	DropUnknownFlow
	DropRequestRing
	DropControlPlane
	DropInternal
	DropOptions
	DropClosing
	DropRxNoBuffer
	DropRxMissed
	DropRxTruncated
	DropTxError
	SetupOverload
	RequestsDeferred

	SealedFrames
	SealedBytes
	OpenedFrames
	OpenedBytes
	ResentFrames
	OwnResent
	RedeliveredFrames
	DeliveryFrames
	DeliveryResent
	AbsorbedAcks
	OwnAcks
	ChallengeAcks
	ChallengesSpared
	DropOwnNoBuffer
	EventsLost
	StoredSegments
	RivalSegments
	ReassembliesRefused
	LargeBuffersRefused
	OutOfOrderRefused
	ReassemblyReclaimed
	ReassemblyExpired
	Rekeys
	DropEgressGap
	DropEgressWindow
	DropEgressPool
	DropEgressLimit
	DropEgressRoom
	DropEgressBehindFin
	DropEgressOld
	DropEgressRekey
	DropEgressSeal
	DropEgressAck
	DropEgressSYN
	DropEgressRST
	DropEgressPAWS
	DropEgressOutside
	DropIngressAck
	DropIngressSYN
	DropIngressPAWS
	DropIngressOld
	DropIngressWindow
	DropIngressLimit
	DropIngressPool
	DropIngressAuth
	DropIngressBehindFailure
	DropIngressRival
	DropIngressMalformed
	DropIngressBehindFinp
	DropIngressRekey
	DropIngressRST
	DropNoKeys
	DropClosed
	DropNoOutput
	AbortAuth
	AbortFinWithoutFinp
	AbortBehindFinp
	AbortMalformed
	AbortInit
	AbortOwnTimeout
	AbortDelivery
	AbortReassembly
	AbortSeal
	AbortKeys
	AbortCaller
	NumCounters
)

// Info says what a counter counts.
type Info struct {
	Name string // snake case, as metrics show it without prefix; at most 47 bytes
	Unit string // at most 15 bytes
	Help string // at most 119 bytes
	Kind Kind
}

// Kind sorts counters for those who show them.
type Kind uint8

// The kinds.
const (
	KindNone    Kind = iota // the place is not in use
	KindPackets             // packets, frames or segments
	KindBytes               // bytes
	KindDrop                // packets dropped for one reason
	KindAbort               // connections aborted for one reason
	KindEvent               // other things that happened
	KindCycles              // cycles of the time-stamp counter
	endKinds
)

var kindNames = [endKinds]string{"none", "packets", "bytes", "drop", "abort", "event", "cycles"}

// String returns the kind's name.
func (k Kind) String() string {
	if k < endKinds {
		return kindNames[k]
	}
	return "invalid"
}
