// Command linecrypt-dataplane moves and encrypts packets. `linecrypt run` starts it together with linecrypt-ctrlplane.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"linecrypt/dataplane/process"
)

// The first thread, whose name is the process's, is no worker's.
func init() { runtime.LockOSThread() }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	os.Exit(process.Main(ctx, os.Args[1:], os.Stderr))
}
