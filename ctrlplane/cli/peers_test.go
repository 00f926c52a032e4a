package cli

import (
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"linecrypt/ctrlplane/peering"
	"linecrypt/ctrlplane/peering/identity"
)

func TestPeersAreListedWithWhyThereIsNoConnection(t *testing.T) {
	g := newFakeGateway(t)
	dir := t.TempDir()
	file, own := filepath.Join(dir, "gw.yaml"), filepath.Join(dir, "key")
	if status, _, errs := call(t, "peers", "--name", "gw"); status != exitFailure || !strings.Contains(errs, "has no control plane just now") {
		t.Errorf("without a control plane: status %d, error %q", status, errs)
	}
	if status, _, errs := call(t, "key", "generate", own); status != exitOK {
		t.Fatal(errs)
	}
	far, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	text := "peering: {key: " + own + ", listen: '127.0.0.1:0'}\npeers:\n" +
		"  - {name: dialed, key: " + identity.Public(far.Public().(ed25519.PublicKey)) + ", prefixes: [10.2.0.0/16], address: '127.0.0.1:1'}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g.runControlPlane(t, "--config", file)
	status, table, errs := call(t, "peers", "--name", "gw")
	if status != exitOK || !strings.Contains(table, "PEER") || !strings.Contains(table, "dialed  127.0.0.1:1") || !strings.Contains(table, "none: ") {
		t.Errorf("status %d, %s%s", status, table, errs)
	}
	status, object, _ := call(t, "peers", "--name", "gw", "--json")
	var list []peering.Status
	if err := json.Unmarshal([]byte(object), &list); status != exitOK || err != nil || len(list) != 1 || list[0].Name != "dialed" || list[0].Connected {
		t.Errorf("status %d, %v: %s", status, err, object)
	}
}
