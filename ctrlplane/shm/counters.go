package shm

// Counter is the place of a counter in a worker's block.
type Counter uint16

// MaxCounters is the number of places in a block.
const MaxCounters = 512

// Block is one worker's counters, each written by that worker alone, or the control plane's.
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

// The counters: of the ports and the worker, then, from SealedFrames on, of the stream translator, at last, from KeysAskedAgain on, of
// the control plane, which has a block of its own. A new one, as for a new reason to
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
	ClearBytes
	FastSegments
	Polls
	IdlePolls
	IdleSleeps
	BusyCycles
	IdleCycles
	TimersFired
	FlowsCreated
	FlowsRemoved
	FlowsEvicted
	HandshakesActive
	HandshakesPassive
	HandshakesDone
	HandshakesHeld
	HandshakesFallback
	HandshakesRefused
	HandshakesAborted
	HandshakeResent
	SynWithoutENO
	ResumeOffered
	ResumeAgreed
	ResumeUnknown
	ResumeMissed
	ResumeLost
	ResumeDone
	RequestsSent
	RequestsLost
	RepliesReceived
	RepliesStale
	RepliesBad
	OrdersReceived
	OrdersStale
	OrdersRefused
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
	DropInternal
	DropOptions
	DropClosing
	DropRxNoBuffer
	DropRxMissed
	DropRxTruncated
	DropTxError
	UnfinishedChecksums
	SetupOverload
	RequestsDeferred
	PathsLearned
	PathsEvicted
	TooBigSent
	SegmentsCut
	BlackHoles
	HandoverPackets
	OrphanResets
	DropTooLong
	DropHandover
	DropSpreadFull

	// Ways into plaintext, and refusals for the same causes in the same order: package handshake's Cause.
	PlainNoENOInSyn
	PlainSeveralENO
	PlainBadENO
	PlainMalformedOptions
	PlainBindingOptions
	PlainNoOptionRoom
	PlainNoCommonTEP
	PlainSameRole
	PlainNotAware
	PlainNoENOInSynAck
	PlainNoENOInAck
	PlainENOGivenUp
	PlainSynUnanswered
	PlainSynReset
	PlainPathHatesENO
	PlainSimultaneous
	PlainControlAway
	PlainControlLate
	PlainControlSaid
	PlainTableFull
	PlainLongHeaders
	PlainDisabled
	PlainHostENO
	PlainOlder
	PlainMet

	RefusedNoENOInSyn
	RefusedSeveralENO
	RefusedBadENO
	RefusedMalformedOptions
	RefusedBindingOptions
	RefusedNoOptionRoom
	RefusedNoCommonTEP
	RefusedSameRole
	RefusedNotAware
	RefusedNoENOInSynAck
	RefusedNoENOInAck
	RefusedENOGivenUp
	RefusedSynUnanswered
	RefusedSynReset
	RefusedPathHatesENO
	RefusedSimultaneous
	RefusedControlAway
	RefusedControlLate
	RefusedControlSaid
	RefusedTableFull
	RefusedLongHeaders

	AbortHostReset
	AbortPeerReset
	AbortAckReset
	AbortAckUnanswered
	AbortInitWithoutENO
	AbortSetupTimeout
	AbortUnanswered
	SetupUnanswered
	AbortUnconfirmed
	AbortHostSilent
	AbortControlPlane
	AbortLargeInit
	AbortShare
	AbortTableFull
	AbortEvicted
	AbortStopped
	AbortSilent
	AbortOrdered
	AbortUnauthenticated
	AbortMismatch
	DropNoBlock
	DropSynReset
	DropHalfOpen
	DropStrayENO
	HalfOpenEvicted
	TombsKept
	TombProbes
	TombsEvicted
	TombsLost
	MetUnlisted
	HatesRemembered
	HatesForgotten
	HatesDoubted
	HatesEvicted
	HatesNow

	SealedFrames
	SealedBytes
	OpenedFrames
	OpenedBytes
	ResentFrames
	ResealedFrames
	KeptRefused
	KeptDropped
	KeptStalled
	WindowLimited
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
	OutOfOrderSegments
	RivalSegments
	ReassembliesRefused
	LargeBuffersRefused
	DeliveriesRefused
	OutOfOrderRefused
	ReassemblyReclaimed
	ReassemblyExpired
	Rekeys
	RekeysTimed
	KeepAlives
	KeepAlivesAnswered
	DropEgressGap
	DropEgressWindow
	DropEgressPool
	DropEgressLimit
	DropEgressRoom
	DropEgressBehindFin
	DropEgressOld
	DropEgressSeal
	DropEgressAck
	DropEgressSYN
	DropEgressRST
	DropEgressPAWS
	DropEgressOutside
	DropEgressRekey
	DropResend
	DropResealPart
	DropResealMismatch
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
	AbortReseal
	AbortFarEndTimeout
	AbortKeepAlive
	AbortKeyLimit
	AbortKeys
	AbortCaller

	// How long handshakes took, from the SYN to keys, by bound: see HandshakeBounds.
	HandshakeIn500us
	HandshakeIn1ms
	HandshakeIn2ms
	HandshakeIn5ms
	HandshakeIn10ms
	HandshakeIn20ms
	HandshakeIn50ms
	HandshakeIn100ms
	HandshakeIn200ms
	HandshakeIn500ms
	HandshakeIn1s
	HandshakeIn2s
	HandshakeIn5s
	HandshakeIn10s
	HandshakeInMore
	HandshakeNanos

	KeysAskedAgain
	KeysAnswered
	KeysNotAwaited
	OverloadKeysPeer
	OverloadKeysFull
	OverloadKeysLate
	OverloadKeysReplies
	NumCounters
)

// HandshakeBounds are the bounds in ns of the counters from HandshakeIn500us on; what took longer is counted by HandshakeInMore.
var HandshakeBounds = [...]int64{500000, 1000000, 2000000, 5000000, 10000000, 20000000, 50000000, 100000000, 200000000, 500000000, 1000000000, 2000000000, 5000000000, 10000000000}

// HandshakeBucket returns the counter of a handshake that took a time in ns.
func HandshakeBucket(took int64) Counter {
	for i, bound := range HandshakeBounds {
		if took <= bound {
			return HandshakeIn500us + Counter(i)
		}
	}
	return HandshakeInMore
}

// Control reports whether the control plane counts it, and not the workers.
func (c Counter) Control() bool { return c >= KeysAskedAgain && c < NumCounters }

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
	KindNone     Kind = iota // the place is not in use
	KindPackets              // packets, frames or segments
	KindBytes                // bytes
	KindDrop                 // packets dropped for one reason
	KindAbort                // connections aborted for one reason
	KindEvent                // other things that happened
	KindCycles               // cycles of the time-stamp counter
	KindPlain                // connections left in the clear for one reason
	KindRefusal              // connections refused for one reason
	KindOverload             // requests or state given up for one reason because a bound was reached
	KindResume               // connections by what came of an earlier session that they might have resumed
	KindBucket               // events by the time that they took, or the sum of these times
	endKinds
)

var kindNames = [endKinds]string{"none", "packets", "bytes", "drop", "abort", "event", "cycles", "plain", "refusal", "overload", "resume", "bucket"}

// String returns the kind's name.
func (k Kind) String() string {
	if k < endKinds {
		return kindNames[k]
	}
	return "invalid"
}
