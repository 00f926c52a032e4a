package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"linecrypt/bench/testenv"
	"linecrypt/ctrlplane/config"
)

func TestEveryCommandAndFlagIsExplained(t *testing.T) {
	a := &App{Hugepages: fakePages()}
	for _, c := range a.reference().Commands {
		if c.Summary == "" || strings.HasSuffix(c.Summary, ".") || len(c.Details) < len("Prints it.") {
			t.Errorf("%s: summary %q, details %q", c.Name, c.Summary, c.Details)
		}
		for _, f := range c.Flags {
			if f.Usage == "" || f.Value == "value" || f.Value == "string" || f.Value == "int" {
				t.Errorf("%s: --%s %s: %q", c.Name, f.Name, f.Value, f.Usage)
			}
			named := strings.TrimSpace("--" + f.Name + " " + f.Value)
			if !strings.Contains(c.Args, named) {
				t.Errorf("the usage of %s, %q, lacks %s", c.Name, c.Args, named)
			}
		}
	}
}

func TestManPagesHaveEveryCommandFlagAndKey(t *testing.T) {
	status, list, _ := call(t, "manual")
	if status != exitOK {
		t.Fatalf("status %d", status)
	}
	for _, c := range (&App{}).reference().Commands {
		page := "linecrypt-" + strings.ReplaceAll(c.Name, " ", "-") + ".1"
		status, text, errs := call(t, "manual", page)
		if status != exitOK || !strings.Contains(list, page+"\n") {
			t.Errorf("%s: status %d, %s", page, status, errs)
		}
		for _, f := range c.Flags {
			if !strings.Contains(text, `\-\-`+strings.ReplaceAll(f.Name, "-", `\-`)) {
				t.Errorf("%s lacks --%s", page, f.Name)
			}
		}
	}
	_, keys, _ := call(t, "manual", "linecrypt.yaml.5")
	for _, k := range config.Keys() {
		if !strings.Contains(keys, "\n.B "+k.Name+"\n") {
			t.Errorf("linecrypt.yaml(5) lacks %s", k.Name)
		}
	}
}

func TestManPagesAreWrittenAndFormatWithoutAWarning(t *testing.T) {
	dir := t.TempDir()
	if status, _, errs := call(t, "manual", "--write", dir); status != exitOK {
		t.Fatal(errs)
	}
	pages, err := filepath.Glob(dir + "/*")
	if err != nil || len(pages) < 10 {
		t.Fatalf("%v, %v", pages, err)
	}
	testenv.NeedCommand(t, "groff")
	for _, page := range pages {
		out, err := exec.Command("groff", "-man", "-Tutf8", "-ww", "-z", page).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", page, err, out)
		}
	}
}

func TestUnknownPageAndShellAreNamed(t *testing.T) {
	for _, args := range [][]string{{"manual", "x.1"}, {"manual", "linecrypt.1", "--write", "/"}, {"completion", "tcsh"}, {"completion"}} {
		if status, out, errs := call(t, args...); status != exitUsage || out != "" || errs == "" {
			t.Errorf("%v: status %d, %q, %q", args, status, out, errs)
		}
	}
}

// complete returns what bash offers for the last of the words.
func complete(t *testing.T, script string, words ...string) []string {
	t.Helper()
	ask := "compopt() { :; }; . " + script + "; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _linecrypt; printf '%s\\n' \"${COMPREPLY[@]}\""
	out, err := exec.Command("bash", append([]string{"-c", ask, "bash"}, words...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", words, err, out)
	}
	return strings.Fields(string(out))
}

func script(t *testing.T, shell string) string {
	t.Helper()
	testenv.NeedCommand(t, shell)
	status, text, errs := call(t, "completion", shell)
	path := filepath.Join(t.TempDir(), "linecrypt."+shell)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil || status != exitOK {
		t.Fatal(err, errs)
	}
	if out, err := exec.Command(shell, "-n", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%s -n: %v\n%s", shell, err, out)
	}
	return path
}

// offers fails where a word of want is not among what was offered, or one of not is.
func offers(t *testing.T, got []string, want, not string) {
	t.Helper()
	all := " " + strings.Join(got, " ") + " "
	for _, w := range strings.Fields(want) {
		if !strings.Contains(all, " "+w+" ") {
			t.Errorf("%s is not offered among %v", w, got)
		}
	}
	for _, w := range strings.Fields(not) {
		if strings.Contains(all, " "+w+" ") {
			t.Errorf("%s is offered among %v", w, got)
		}
	}
}

func TestBashCompletesCommandsFlagsAndValues(t *testing.T) {
	s := script(t, "bash")
	offers(t, complete(t, s, "linecrypt", ""), "run status setup help", "hugepages")
	offers(t, complete(t, s, "linecrypt", "se"), "setup sessions", "run")
	offers(t, complete(t, s, "linecrypt", "setup", ""), "hugepages", "--pages")
	offers(t, complete(t, s, "linecrypt", "setup", "hugepages", "--"), "--pages --size", "--json")
	offers(t, complete(t, s, "linecrypt", "run", "--in"), "--inside", "--outside")
	offers(t, complete(t, s, "linecrypt", "run", "--inside", ""), "lo", "--inside")
	offers(t, complete(t, s, "linecrypt", "run", "--set", "workers."), "workers.poll= workers.cores=", "policy=")
	offers(t, complete(t, s, "linecrypt", "host", "--interface", ""), "lo", "--interface")
	offers(t, complete(t, s, "linecrypt", "sessions", "--port", ""), "", "lo")
	offers(t, complete(t, s, "linecrypt", "policy", ""), "test list", "")
	offers(t, complete(t, s, "linecrypt", "completion", ""), "bash zsh fish", "")
	offers(t, complete(t, s, "linecrypt", "help", "st"), "status stop", "run")
}

func TestFishCompletesCommandsFlagsAndValues(t *testing.T) {
	s := script(t, "fish")
	ask := func(line string) []string {
		t.Helper()
		cmd := exec.Command("fish", "--private", "-c", "source "+s+"; complete -C '"+line+"' | cut -f1")
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		return strings.Fields(string(out))
	}
	offers(t, ask("linecrypt "), "run status setup help", "hugepages")
	offers(t, ask("linecrypt setup "), "hugepages", "run")
	offers(t, ask("linecrypt setup hugepages --"), "--pages --size", "--json")
	offers(t, ask("linecrypt run --inside "), "lo", "run")
	offers(t, ask("linecrypt run --set workers."), "workers.poll=", "policy=")
	offers(t, ask("linecrypt completion "), "bash zsh fish", "run")
}

func TestZshTakesItsScript(t *testing.T) {
	s := script(t, "zsh")
	// What compdef would call is defined, and lists commands.
	out, err := exec.Command("zsh", "-f", "-c", "_describe() { print -l $commands }; words=(linecrypt ''); CURRENT=2; . "+s).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "status:") || !strings.Contains(string(out), "setup:") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = exec.Command("zsh", "-f", "-c", "_arguments() { print -l -- $words[1] \"$@\" }; words=(linecrypt setup hugepages --p); CURRENT=4; . "+s).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "hugepages\n") || !strings.Contains(string(out), "--pages[") {
		t.Errorf("%v\n%s", err, out)
	}
}
