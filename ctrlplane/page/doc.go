// Package page is the small web page of a gateway: what it did in the last ten minutes and does now, and its connections. It only reads, answers
// nothing but GET and HEAD, and loads nothing from elsewhere.
package page
