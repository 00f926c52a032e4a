// Package keyfile reads YAML files of keys and values by a table of keys: the configuration of the gateway, and the scenarios of
// `linecrypt bench run`. Whatever is wrong (an unknown key, one that is given twice, a value of another type or out of range, what
// YAML allows and no such file needs) is an *Error with file, line and key, all of them in one go.
//
// A file has keys and sections of keys, no deeper, and values that are scalars, lists of scalars, or lists of mappings, whose keys have
// a table of their own. Files are taken as hostile: they
// are bounded, and anchors and aliases are refused.
//
// It keeps no state. A Table is the caller's, who does not change it while it is in use.
package keyfile
