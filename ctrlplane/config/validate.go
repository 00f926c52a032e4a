package config

import (
	"errors"
	"fmt"

	"linecrypt/flowtable"
)

// Validate checks what involves more than one key. Load, Parse and Flags.Load have called it; a Config that was changed
// with Set afterwards needs it again. When workers.cores is given, it sets Workers.Count to match.
func (c *Config) Validate() error {
	var errs []error
	if n := len(c.Workers.Cores); n > 0 {
		if c.IsSet("workers.count") && c.Workers.Count != n {
			errs = append(errs, c.Err("workers.count", fmt.Errorf("%d does not fit the %d cores of workers.cores", c.Workers.Count, n)))
		}
		if n > MaxWorkers {
			errs = append(errs, c.Err("workers.cores", fmt.Errorf("%d cores are more than %d", n, MaxWorkers)))
		}
		c.Workers.Count = n
	}
	if c.Handshake.Retransmit > c.Handshake.Timeout {
		errs = append(errs, c.Err(c.given("handshake.retransmit", "handshake.timeout"),
			fmt.Errorf("handshake.retransmit %v is longer than handshake.timeout %v", c.Handshake.Retransmit, c.Handshake.Timeout)))
	}
	if c.Inside != "" && c.Inside == c.Outside {
		errs = append(errs, c.Err(c.given("outside", "inside"), fmt.Errorf("inside and outside are the same port %q", c.Outside)))
	}
	for _, f := range []struct{ key, is string }{
		{"sessions.certificate", c.Sessions.Certificate}, {"sessions.key", c.Sessions.Key}, {"sessions.client_ca", c.Sessions.ClientCA},
	} {
		if c.Sessions.Listen != "" && f.is == "" {
			errs = append(errs, c.Err("sessions.listen", fmt.Errorf("%s is missing: nobody may ask without certificates", f.key)))
		}
	}
	if c.Authenticated && len(c.Peers) == 0 {
		errs = append(errs, c.Err("authenticated", errors.New("no peers are listed, so that no far end could ever be authenticated")))
	}
	if c.Authenticated && c.Policy != flowtable.Require {
		errs = append(errs, c.Err("authenticated", fmt.Errorf("with policy %v whoever is in the middle needs only make sure that a connection is not encrypted: write policy: require too", c.Policy)))
	}
	errs = append(errs, c.validatePeers())
	errs = append(errs, c.validateRules())
	return errors.Join(errs...)
}

// given returns the first of the keys that was set, so that an error about several points to a line.
func (c *Config) given(names ...string) string {
	for _, n := range names {
		if c.IsSet(n) {
			return n
		}
	}
	return names[0]
}

// RequirePorts returns an error unless both ports are given, which the data plane needs.
func (c *Config) RequirePorts() error {
	var errs []error
	for _, p := range []struct{ key, is string }{{"inside", c.Inside}, {"outside", c.Outside}} {
		if p.is == "" {
			errs = append(errs, c.Err(p.key, fmt.Errorf("no port is given: use --%s PORT, or the key %s of the configuration file", p.key, p.key)))
		}
	}
	return errors.Join(errs...)
}
