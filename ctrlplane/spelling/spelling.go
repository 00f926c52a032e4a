// Package spelling finds the word that somebody meant who typed another one: a key of the configuration, a command, a flag.
package spelling

// Nearest returns the known word that resembles the given one most, the first of several, and an empty one where none resembles it.
func Nearest(word string, known []string) string {
	best, limit := "", Limit(word)
	for _, k := range known {
		if d := Edits(word, k); d < limit {
			best, limit = k, d
		}
	}
	return best
}

// maxWord is the longest word, in bytes, that is compared: nobody means one that is longer.
const maxWord = 64

// Limit returns the number of edits from which on a word does not resemble another any more: half its length, at most 4.
func Limit(word string) int {
	if len(word) > maxWord {
		return 0
	}
	return 1 + min(3, len(word)/2)
}

// Edits counts the bytes to insert, delete or replace to make b of a; two neighbours that have changed places count as one.
func Edits(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
