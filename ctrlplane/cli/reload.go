package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/instance"
)

// reloadTimeout is how long `reload` waits for what comes of it.
const reloadTimeout = 10 * time.Second

var reloadCommand = command{
	name:    "reload",
	args:    "[--name NAME]",
	summary: "load the configuration of a running gateway again",
	details: `Has a running instance load its configuration again, as SIGHUP does, and tells what came of it. Policy, key agreements, ciphers,
the application-aware bit, the log level and the key log change for new connections, and peers for all; which other keys differ, and so need a restart, is told.
What would weaken the policy needs the word in the file: a key that is missing there is not taken as its default.`,
	define: func(a *App, fs *flag.FlagSet) func() error {
		name := addNameFlag(fs)
		return func() error { return a.reload(*name) }
	},
}

func (a *App) reload(name string) error {
	in, err := instance.Find(name)
	if err != nil {
		return err
	}
	if _, ok := in.Running(instance.ControlPlane); !ok {
		return fmt.Errorf("instance %q has no control plane just now; it loads the configuration when it is started again", name)
	}
	r, err := requestReload(in)
	if err != nil {
		return fmt.Errorf("instance %q: the control plane does not answer: %w", name, err)
	}
	return printReloaded(a.Stdout, r)
}

// requestReload asks by the control socket, for that has an answer, which a signal has not.
func requestReload(in *instance.Instance) (*config.Reloaded, error) {
	r := new(config.Reloaded)
	return r, post(in, "/reload", nil, r, reloadTimeout)
}

// post asks an instance's control plane by its control socket, with a body as JSON unless it is nil, and reads the answer.
func post(in *instance.Instance, path string, body, answer any, timeout time.Duration) error {
	client := controlClient(in, timeout)
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			return err
		}
	}
	a, err := client.Post("http://control"+path, "application/json", &text)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return errors.New(a.Status)
	}
	return json.NewDecoder(io.LimitReader(a.Body, 1<<20)).Decode(answer)
}

// controlClient asks the control plane by its socket.
func controlClient(in *instance.Instance, patience time.Duration) *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", in.ControlSocket())
		},
		DisableKeepAlives: true,
	}}
}

// printReloaded tells what came of it; the error says why nothing was changed.
func printReloaded(out io.Writer, r *config.Reloaded) error {
	if len(r.Errors) > 0 {
		var errs []error
		for _, text := range r.Errors {
			errs = append(errs, errors.New(text))
		}
		return fmt.Errorf("nothing is changed, the old policy stays:\n%w", errors.Join(errs...))
	}
	if len(r.Changed) == 0 {
		fmt.Fprintln(out, "reloaded: nothing has changed for new connections")
	}
	for _, change := range r.Changed {
		fmt.Fprintln(out, "reloaded:", change)
	}
	for _, change := range r.Weakened {
		fmt.Fprintln(out, "warning: new connections are protected less than before:", change)
	}
	for _, change := range r.Restart {
		fmt.Fprintln(out, "needs a restart:", change)
	}
	return nil
}
