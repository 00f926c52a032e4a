package handshake

import "linecrypt/ctrlplane/shm"

// ActionKind says what the worker is to do.
type ActionKind uint8

// The actions. A segment event leads to exactly one of those that dispose of the segment: ActForward to ActKeep.
const (
	ActNone ActionKind = iota

	ActForward     // the segment goes on as it came
	ActForwardENO  // with our ENO option of the connection on it, without a Fast Open cookie and without data
	ActForwardBare // without ENO, cookie and data, the MSS clamped
	ActForwardLean // as it came, but for its data
	ActTranslate   // to the stream translator
	ActDrop        // it is dropped; Why counts it
	ActRefuseSYN   // dropped, and answered as a closed port answers
	ActAnswerRST   // dropped, and answered by the RST that its ACK asks for, because its sender sent what is nobody's (RFC 9293 3.10.7.1)
	ActReopen      // the connection is forgotten, and the segment begins another one
	ActKeep        // the SYN-ACK is kept in the block until the host may have it

	ActLearn       // take from the segment, a SYN or SYN-ACK, what it says of its sender, and its headers
	ActAnswered    // half-open: the other end has answered
	ActEstablish   // the opener is proven real: the connection takes a place among the established ones. May fail: FailPlace
	ActBlock       // take a block. May fail: FailBlock
	ActFreeBlock   // give it back, erased
	ActClaim       // take the secret that the connection resumes with, before a segment tells of it. May fail: FailClaim
	ActDisown      // give that secret up for good, and what follows from it: the far end agreed to nothing that was offered with it, or to a fresh key exchange
	ActAsk         // put question Ask to the control plane. May fail: FailRing
	ActStart       // start the translator in the role that the connection is in, and send what is to be sent first
	ActInit1       // Init1 of the block goes out with the translator that starts. May fail: FailBuffer
	ActTakeInit1   // keep secret and Init1 of the reply in the block
	ActKeys        // keys of the reply are put in place, Init2 out before them on the passive side. May fail: FailBuffer, FailKeys
	ActHoldKeys    // the same, but nothing that the far end sends is opened before ActConfirm. May fail as ActKeys does
	ActConfirm     // what it has sent meanwhile is opened, and what comes
	ActSendSYN     // the host's SYN again, without ENO, from what is known of it
	ActSynAck      // the host gets the kept SYN-ACK, without ENO and with the MSS clamped
	ActKept        // the host gets the kept SYN-ACK as it came
	ActAckPeer     // an acknowledgement of what is known, to the far end
	ActAckHost     // and to the host: where it is at odds with what is known, its RST tells so (RFC 9293 section 3.5.1)
	ActResetHost   // a RST to the host, in the form that its state accepts
	ActResetPeer   // and to the far end
	ActAbortStream // the translator aborts: RSTs to both ends

	ActPlain  // the connection is in the clear from here on; Why says why
	ActRefuse // it is refused because policy requires encryption; Why says why
	ActAbort  // it is reset; Why says why

	ActCount // Why is counted, and nothing else

	ActClose   // the record stays until both ends are known to know; Why, if it is there, says why, and was counted
	ActForget  // the record goes
	ActHates   // remember the far end as one whose path hates ENO; Why says how it showed
	ActAccepts // the far end's path takes ENO
	numActions
)

// Action is one thing to do.
type Action struct {
	Kind ActionKind
	Why  shm.Counter
	Ask  shm.RequestKind
}

// Actions is what a step leads to, in order.
type Actions struct {
	n    int
	list [12]Action
}

// All returns the actions in order.
func (a *Actions) All() []Action { return a.list[:a.n] }

func (a *Actions) reset() { a.n = 0 }

func (a *Actions) add(k ActionKind)                { a.put(Action{Kind: k}) }
func (a *Actions) why(k ActionKind, c shm.Counter) { a.put(Action{Kind: k, Why: c}) }
func (a *Actions) drop(c shm.Counter)              { a.put(Action{Kind: ActDrop, Why: c}) }
func (a *Actions) ask(kind shm.RequestKind)        { a.put(Action{Kind: ActAsk, Ask: kind}) }
func (a *Actions) put(x Action)                    { a.list[a.n] = x; a.n++ }
