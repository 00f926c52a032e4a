package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"linecrypt/bench/pattern"
	"linecrypt/bench/topology"
)

// webServer is the HTTP server in the server's namespace. Besides the file it has a page that waits.
type webServer struct {
	sum     string        // SHA-256 of the file in hexadecimal
	held    chan string   // the client's address and port, when it asks for /hold
	release chan struct{} // closed when /hold may be answered
	srv     *http.Server
}

func startWeb(top *topology.Topology, size int64, stream uint32) (*webServer, error) {
	path := filepath.Join(top.Dir, "file")
	sum, err := makeFile(path, size, stream)
	if err != nil {
		return nil, err
	}
	l, err := top.Server.Listen(fmt.Sprintf(":%d", webPort))
	if err != nil {
		return nil, fmt.Errorf("web server: %w", err)
	}
	w := &webServer{sum: sum, held: make(chan string, 1), release: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/file", func(rw http.ResponseWriter, r *http.Request) { http.ServeFile(rw, r, path) })
	mux.HandleFunc("/hold", w.hold)
	w.srv = &http.Server{Handler: mux, ReadHeaderTimeout: 30 * time.Second}
	go func() { _ = w.srv.Serve(l) }()
	return w, nil
}

func (w *webServer) hold(rw http.ResponseWriter, r *http.Request) {
	select {
	case w.held <- r.RemoteAddr:
	default: // only the first one is waited for
	}
	select {
	case <-w.release:
	case <-time.After(30 * time.Second):
	case <-r.Context().Done():
	}
	fmt.Fprintln(rw, "thank you for waiting")
}

func (w *webServer) close() { _ = w.srv.Close() }

// makeFile writes a file of a stream that is recognised wherever a piece of it turns up, and returns its SHA-256.
func makeFile(path string, size int64, stream uint32) (string, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(f, h), 1<<20)
	_, err = io.Copy(w, &pattern.Reader{Stream: stream, Left: size})
	if err := errors.Join(err, w.Flush(), f.Close()); err != nil {
		return "", fmt.Errorf("make the file: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
