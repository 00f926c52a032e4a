package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"linecrypt/ctrlplane/peering/identity"
)

func TestKeyThatIsGeneratedIsShownAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	status, made, stderr := call(t, "key", "generate", path)
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, %q", status, stderr)
	}
	if _, err := identity.Parse(strings.TrimSpace(made)); err != nil {
		t.Error(err)
	}
	if status, shown, _ := call(t, "key", "show", path); status != 0 || shown != made {
		t.Errorf("status %d, %q instead of %q", status, shown, made)
	}
	if status, _, stderr := call(t, "key", "generate", path); status != 1 || !strings.Contains(stderr, "file exists") {
		t.Errorf("over another one: status %d, %q", status, stderr)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := call(t, "key", "show", path); status != 1 || !strings.Contains(stderr, "has mode 0644: others than its owner may use the key file; `chmod 600 "+path) {
		t.Errorf("with the wrong mode: status %d, %q", status, stderr)
	}
	if status, _, stderr := call(t, "key", "show", path, "x"); status != 2 || !strings.Contains(stderr, `unexpected argument "x"`) {
		t.Errorf("with two files: status %d, %q", status, stderr)
	}
	if status, _, stderr := call(t, "key", "show", path+"x"); status != 1 || !strings.Contains(stderr, "`linecrypt key generate") {
		t.Errorf("without a file: status %d, %q", status, stderr)
	}
}

func TestConfigCheckReadsTheKeyOfPeering(t *testing.T) {
	dir := t.TempDir()
	file, key := filepath.Join(dir, "f.yaml"), filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte("peering: {key: "+key+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := call(t, "config", "--check", file); status != 1 || !strings.Contains(stderr, "f.yaml:1: peering.key: key file: ") {
		t.Errorf("status %d, %q", status, stderr)
	}
}

func TestConfigCheckRefusesAPeerWithTheGatewaysOwnKey(t *testing.T) {
	dir := t.TempDir()
	file, key := filepath.Join(dir, "f.yaml"), filepath.Join(dir, "key")
	status, public, stderr := call(t, "key", "generate", key)
	if status != 0 {
		t.Fatal(stderr)
	}
	text := "peering: {key: " + key + ", listen: '127.0.0.1:0'}\npeers:\n  - {name: b, key: " + strings.TrimSpace(public) + ", prefixes: [10.2.0.0/16]}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := call(t, "config", "--check", file); status != 1 || !strings.Contains(stderr, "f.yaml:2: peers: peer b has this gateway's own key") {
		t.Errorf("status %d, %q", status, stderr)
	}
}
