package session_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"linecrypt/ctrlplane/session"
)

// An application asks for the session beneath its connection, and says what is the matter where there is none.
func ExampleOf() {
	conn, err := net.Dial("tcp", "server.example:4000")
	if err != nil {
		log.Fatal(err)
	}
	s, err := session.Of(conn)
	switch {
	case errors.Is(err, session.ErrNotEncrypted):
		log.Print("in the clear")
	case errors.Is(err, session.ErrUnknown):
		log.Print("this connection goes through no gateway of this machine")
	case err != nil:
		log.Fatal(err)
	default:
		fmt.Println("authenticate", s.ID, "as", s.Role)
	}
}

// A server that looks at connections of others waits until their sessions exist.
func ExampleFinder_Wait() {
	finder, err := session.Open("default")
	if err != nil {
		log.Fatal(err)
	}
	defer finder.Close()
	l, err := net.Listen("tcp", ":4000")
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		s, err := finder.WaitOf(ctx, conn)
		cancel()
		fmt.Println(conn.RemoteAddr(), s.ID, err)
	}
}
