// Package wireshark tests tcpcrypt.lua, a dissector of TCP-ENO and tcpcrypt for Wireshark, on captures of whole connections.
package wireshark
