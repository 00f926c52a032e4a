"""A program that knows nothing of gateways: connects, and prints what its socket says of the session."""
import socket
import sys

TCP_CRYPT_SESSIONID = 854800
TCP_ENO_ROLE = 854702
TCP_ENO_SELF_AWARE = 854704
TCP_ENO_PEER_AWARE = 854705

family = socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET
with socket.socket(family, socket.SOCK_STREAM) as s:
    if len(sys.argv) > 4:
        s.setsockopt(socket.IPPROTO_TCP, TCP_ENO_SELF_AWARE, 1)
    s.settimeout(20)
    s.connect((sys.argv[2], int(sys.argv[3])))
    try:
        print("session_id=" + s.getsockopt(socket.IPPROTO_TCP, TCP_CRYPT_SESSIONID, 64).hex())
    except OSError as e:
        print("session_id=!%d" % e.errno)
    for name, option in ("role", TCP_ENO_ROLE), ("self_aware", TCP_ENO_SELF_AWARE), ("peer_aware", TCP_ENO_PEER_AWARE):
        try:
            print("%s=%d" % (name, s.getsockopt(socket.IPPROTO_TCP, option)))
        except OSError as e:
            print("%s=!%d" % (name, e.errno))
    print("end", flush=True)
    sys.stdin.read()
