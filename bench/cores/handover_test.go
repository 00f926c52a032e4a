package cores

import "testing"

func TestALineGoesFromCoreToCore(t *testing.T) {
	all, err := Allowed()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 2 {
		t.Skip("it takes two cores")
	}
	if ns, err := Handover(all[0], all[1]); err != nil || ns <= 0 {
		t.Errorf("%v ns, %v", ns, err)
	}
	after, err := Allowed()
	if err != nil || len(after) != len(all) {
		t.Errorf("afterwards the thread may use %v of %v, %v", after, all, err)
	}
}
