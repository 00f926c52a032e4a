package instance

import "testing"

func TestKeyLogIsKnownWhileTheControlPlaneRuns(t *testing.T) {
	t.Setenv(EnvRunDir, t.TempDir())
	in, err := Open("x")
	if err != nil {
		t.Fatal(err)
	}
	l, err := in.Lock(ControlPlane)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.MarkKeyLog("/one"); err != nil {
		t.Fatal(err)
	}
	if err := in.MarkKeyLog("/other"); err != nil {
		t.Fatal(err)
	}
	if got := in.KeyLog(); got != "/other" {
		t.Errorf("%q", got)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if got := in.KeyLog(); got != "" {
		t.Errorf("%q without a control plane", got)
	}
	if err := in.MarkKeyLog(""); err != nil {
		t.Fatal(err)
	}
}
