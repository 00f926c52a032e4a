package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"linecrypt/ctrlplane/instance"
)

// flushTimeout is how long `resumption flush` waits for its answer.
const flushTimeout = 10 * time.Second

const flushName = "resumption flush"

var flushCommand = command{
	name:    flushName,
	args:    "[--peer PREFIX | --client ADDR:PORT --server ADDR:PORT] [--name NAME]",
	summary: "forget what is kept to resume sessions with",
	details: `Erases session secrets that a running instance keeps, so that the next connections exchange keys afresh: all of them, those of
hosts in a prefix, or those that one encrypted connection was set up with or left behind. Connections that exist go on.`,
	define: func(a *App, fs *flag.FlagSet) func() error {
		name := addNameFlag(fs)
		peer := fs.String("peer", "", "address or `PREFIX` of the far ends")
		client := fs.String("client", "", "`ADDR:PORT` of the connection's opener, as sessions shows it")
		server := fs.String("server", "", "`ADDR:PORT` of its other end")
		return func() error {
			for _, flag := range []string{"peer", "client", "server"} {
				if given(fs, flag) && fs.Lookup(flag).Value.String() == "" { // of a script's variable that is not set, say
					return &usageError{flushName, fmt.Errorf("--%s is empty: leave it out to forget all", flag)}
				}
			}
			return a.flush(*name, *peer, *client, *server)
		}
	},
}

// flushed is what the control plane answers.
type flushed struct {
	Secrets  int `json:"secrets"`
	Capacity int `json:"capacity"`
	Flushed  int `json:"flushed"`
}

func (a *App) flush(name, peer, client, server string) error {
	which := url.Values{}
	switch {
	case peer != "" && (client != "" || server != ""):
		return &usageError{flushName, fmt.Errorf("--peer and --client name different things: give one of them")}
	case (client == "") != (server == ""):
		return &usageError{flushName, fmt.Errorf("a connection has two ends: give --client and --server")}
	case peer != "":
		if _, err := netip.ParseAddr(peer); err != nil {
			if _, err := netip.ParsePrefix(peer); err != nil {
				return &usageError{flushName, fmt.Errorf("--peer %q is neither an address nor a prefix", peer)}
			}
		}
		which.Set("peer", peer)
	case client != "":
		for _, end := range []string{client, server} {
			if _, err := netip.ParseAddrPort(end); err != nil {
				return &usageError{flushName, fmt.Errorf("%q is not an address with a port, such as 192.0.2.1:443 or [2001:db8::1]:443", end)}
			}
		}
		which.Set("client", client)
		which.Set("server", server)
	}
	in, err := instance.Find(name)
	if err != nil {
		return err
	}
	if _, ok := in.Running(instance.ControlPlane); !ok {
		return fmt.Errorf("instance %q has no control plane just now", name)
	}
	r, err := requestFlush(in, which)
	if err != nil {
		return fmt.Errorf("instance %q: %w", name, err)
	}
	fmt.Fprintf(a.Stdout, "%d forgotten; %d of %d places are in use\n", r.Flushed, r.Secrets, r.Capacity)
	return nil
}

func requestFlush(in *instance.Instance, which url.Values) (*flushed, error) {
	client := http.Client{Timeout: flushTimeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", in.ControlSocket())
		},
		DisableKeepAlives: true,
	}}
	answer, err := client.PostForm("http://control/resumption/flush", which)
	if err != nil {
		return nil, fmt.Errorf("the control plane does not answer: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s", strings.TrimSpace(string(body)))
	}
	r := new(flushed)
	return r, json.Unmarshal(body, r)
}
