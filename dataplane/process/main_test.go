package process

import (
	"bytes"
	"strings"
	"testing"
)

func TestWrongArgumentsAreRefusedWithAReason(t *testing.T) {
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"--no-such-flag"}, 2, "no-such-flag"},
		{[]string{"extra"}, 2, `"extra"`},
		{[]string{"--config", "/nowhere/linecrypt.yaml"}, 1, "/nowhere/linecrypt.yaml"},
		{nil, 1, "inside"},
		{[]string{"-h"}, 0, "inside"},
	} {
		var stderr bytes.Buffer
		if got := Main(t.Context(), c.args, &stderr); got != c.status || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%q: status %d, said %q", c.args, got, stderr.String())
		}
	}
}
