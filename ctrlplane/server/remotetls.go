package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"linecrypt/ctrlplane/session"
)

// RemoteFiles are the files of sessions.listen: the control plane's certificate and key, and who signs the certificates of hosts.
type RemoteFiles struct{ Certificate, Key, ClientCA string }

// remoteTLS is the configuration made of the files. They are read again when one of them has changed; while they cannot be read, the last
// good ones stay.
type remoteTLS struct {
	files RemoteFiles
	log   *slog.Logger

	mu     sync.Mutex
	stamp  string
	looked time.Time
	config *tls.Config
}

// newRemoteTLS reads the files. The error says which one is of no use.
func newRemoteTLS(files RemoteFiles, logger *slog.Logger) (*remoteTLS, error) {
	r := &remoteTLS{files: files, log: logger, stamp: files.stamp(), looked: time.Now()}
	var err error
	r.config, err = files.load()
	return r, err
}

// Check returns what is the matter with the files.
func (f *RemoteFiles) Check() error {
	_, err := f.load()
	return err
}

func (f *RemoteFiles) load() (*tls.Config, error) {
	if err := session.CheckKeyFile(f.Key); err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(f.Certificate, f.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", f.Certificate, f.Key, err)
	}
	pool, err := session.LoadCA(f.ClientCA)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		NextProtos: []string{"http/1.1"}, SessionTicketsDisabled: true,
	}, nil
}

// stamp changes when a file does.
func (f *RemoteFiles) stamp() (s string) {
	for _, path := range []string{f.Certificate, f.Key, f.ClientCA} {
		if st, err := os.Stat(path); err == nil {
			s += fmt.Sprint(st.ModTime().UnixNano(), st.Size(), st.Mode(), " ")
		}
	}
	return s
}

func (r *remoteTLS) current(*tls.ClientHelloInfo) (*tls.Config, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.looked) < time.Second {
		return r.config, nil
	}
	r.looked = time.Now()
	stamp := r.files.stamp()
	if stamp == r.stamp {
		return r.config, nil
	}
	r.stamp = stamp
	fresh, err := r.files.load()
	if err != nil {
		r.log.Warn("sessions.listen goes on with the certificates that it has", "error", err)
		return r.config, nil
	}
	r.log.Info("sessions.listen has new certificates")
	r.config = fresh
	return fresh, nil
}
