// Package top is the screen of `linecrypt top`: what a gateway does now, core by core, once a second. The Model holds what is shown and draws it; it
// reads nothing by itself, but gets Frames from whoever runs it.
package top
