// Probe is a program with cgo that knows nothing of gateways: it connects, and prints what its socket says of the session.
package main

/*
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include "linecrypt_tcpcrypt.h"

static int number(int s, int option, int *n) {
	socklen_t len = sizeof *n;
	return getsockopt(s, IPPROTO_TCP, option, n, &len) ? errno : 0;
}

static int session_id(int s, unsigned char *b) {
	socklen_t len = TCP_CRYPT_SESSIONID_LEN;
	return getsockopt(s, IPPROTO_TCP, TCP_CRYPT_SESSIONID, b, &len) ? errno : 0;
}
*/
import "C"

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
)

func main() {
	conn, err := net.Dial("tcp", net.JoinHostPort(os.Args[2], os.Args[3]))
	if err != nil {
		log.Fatal(err)
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		log.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		var id [C.TCP_CRYPT_SESSIONID_LEN]byte
		if e := C.session_id(C.int(fd), (*C.uchar)(&id[0])); e != 0 {
			fmt.Printf("session_id=!%d\n", e)
		} else {
			fmt.Printf("session_id=%x\n", id)
		}
		var n C.int
		if e := C.number(C.int(fd), C.TCP_ENO_ROLE, &n); e != 0 {
			fmt.Printf("role=!%d\n", e)
		} else {
			fmt.Printf("role=%d\n", n)
		}
		fmt.Println("end")
	})
	if err != nil {
		log.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}
