package cli

import (
	"errors"
	"net"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/server"
)

// checkMachine returns an error for each value that this machine cannot do with: an engine that its CPU does not run, a core or a group
// that it does not have, an address that is not its own, certificates that are of no use, a peer with the key that is its own.
func checkMachine(c *config.Config) error {
	var errs []error
	if _, err := cryptobatch.New(cryptobatch.Select(c.Engine, "")); err != nil {
		errs = append(errs, c.Err("engine", err))
	}
	errs = append(errs, checkCores(c))
	if group := c.SessionTable.Group; group != "" {
		if _, err := instance.GroupID(group); err != nil {
			errs = append(errs, c.Err("session_table.group", err))
		}
	}
	errs = append(errs, server.CheckPeering(c))
	if err := checkAddress(c.Peering.Listen); err != nil && c.Peering.Listen != "" {
		errs = append(errs, c.Err("peering.listen", err))
	}
	if err := checkAddress(c.Metrics.Listen); err != nil && c.IsSet("metrics.listen") {
		errs = append(errs, c.Err("metrics.listen", err))
	}
	if files := (server.RemoteFiles{Certificate: c.Sessions.Certificate, Key: c.Sessions.Key, ClientCA: c.Sessions.ClientCA}); c.Sessions.Listen != "" {
		if err := errors.Join(checkAddress(c.Sessions.Listen), files.Check()); err != nil {
			errs = append(errs, c.Err("sessions.listen", err))
		}
	}
	return errors.Join(errs...)
}

func checkCores(c *config.Config) error {
	allowed, err := instance.AllowedCores()
	if err != nil {
		return err
	}
	var errs []error
	for _, core := range c.Workers.Cores {
		if err := instance.CheckCore(core, allowed); err != nil {
			errs = append(errs, c.Err("workers.cores", err))
		}
	}
	return errors.Join(errs...)
}

// checkAddress listens at some port of the address: the one that is configured may be that of the gateway that runs.
func checkAddress(listen string) error {
	if listen == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return err
	}
	return l.Close()
}
