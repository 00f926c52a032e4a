package cookie

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"

	"linecrypt/flowtable"
)

const (
	a = flowtable.RoleA
	b = flowtable.RoleB
)

func session(n byte) []byte { return append([]byte{0x23}, bytes.Repeat([]byte{n}, 32)...) }

func key(t testing.TB, service, cookie string) *Key {
	t.Helper()
	k, err := New(service, []byte(cookie))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const secret = "0123456789abcdef"

// end is what Authenticate says at one end.
type end struct {
	key  *Key
	role flowtable.Role
	id   []byte
}

// authenticate runs both ends on a connection; an end that fails closes its side.
func authenticate(t *testing.T, x, y end) (errX, errY error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	q, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		err := y.key.Authenticate(q, y.role, y.id)
		q.Close()
		done <- err
	}()
	errX = x.key.Authenticate(p, x.role, x.id)
	p.Close()
	return errX, <-done
}

func TestEndsWithOneSecretAndOneSessionAuthenticateEachOther(t *testing.T) {
	k := key(t, "mail", secret)
	if x, y := authenticate(t, end{k, a, session(1)}, end{key(t, "mail", secret), b, session(1)}); x != nil || y != nil {
		t.Errorf("%v, %v", x, y)
	}
}

func TestWhoeverDiffersIsFoundOut(t *testing.T) {
	k := key(t, "mail", secret)
	for name, far := range map[string]end{
		"another session": {k, b, session(2)},
		"another secret":  {key(t, "mail", secret+"!"), b, session(1)},
		"another service": {key(t, "news", secret), b, session(1)},
		"the same role":   {k, a, session(1)},
	} {
		x, y := authenticate(t, end{k, a, session(1)}, far)
		if x == nil || y == nil || !errors.Is(x, ErrProof) && !errors.Is(y, ErrProof) {
			t.Errorf("%s: %v, %v", name, x, y)
		}
	}
}

// echo sends back what it is sent.
type echo struct{ bytes.Buffer }

func TestProofThatIsSentBackIsRefused(t *testing.T) {
	if err := key(t, "mail", secret).Authenticate(&echo{}, a, session(1)); !errors.Is(err, ErrProof) {
		t.Errorf("%v", err)
	}
}

func TestRoleBProvesNothingToWhoDoesNotKnowTheSecret(t *testing.T) {
	var sent bytes.Buffer
	conn := struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(make([]byte, ProofSize)), &sent}
	if err := key(t, "mail", secret).Authenticate(conn, b, session(1)); !errors.Is(err, ErrProof) || sent.Len() != 0 {
		t.Errorf("%v, %d bytes sent", err, sent.Len())
	}
}

func TestFarEndThatGoesAwayIsAnErrorOfItsOwn(t *testing.T) {
	conn := struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(make([]byte, ProofSize-1)), io.Discard}
	if err := key(t, "mail", secret).Authenticate(conn, a, session(1)); !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrProof) {
		t.Errorf("%v", err)
	}
}

func TestWhatIsNoSecretNoSessionAndNoRoleIsRefused(t *testing.T) {
	if _, err := New("mail", []byte(secret[1:])); !errors.Is(err, ErrSecret) {
		t.Errorf("short cookie: %v", err)
	}
	if _, err := FromPassword("mail", "alice", "1234567"); !errors.Is(err, ErrSecret) {
		t.Errorf("short password: %v", err)
	}
	k := key(t, "mail", secret)
	for _, id := range [][]byte{nil, session(1)[1:], make([]byte, 256)} {
		if _, err := k.Proof(a, id); !errors.Is(err, ErrSession) {
			t.Errorf("session ID of %d bytes: %v", len(id), err)
		}
	}
	if err := k.Verify(0, session(1), nil); !errors.Is(err, ErrRole) {
		t.Errorf("role 0: %v", err)
	}
}

func TestPasswordsAuthenticateByServiceAndUser(t *testing.T) {
	password := func(service, user, word string) *Key {
		k, err := FromPassword(service, user, word)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k := password("mail", "alice", "correct horse")
	proof, err := k.Proof(a, session(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := password("mail", "alice", "correct horse").Verify(a, session(1), proof[:]); err != nil {
		t.Error(err)
	}
	for _, other := range []*Key{password("mail", "alice", "battery staple"), password("mail", "bob", "correct horse"), password("maila", "lice", "correct horse")} {
		if err := other.Verify(a, session(1), proof[:]); !errors.Is(err, ErrProof) {
			t.Errorf("%v", err)
		}
	}
}
