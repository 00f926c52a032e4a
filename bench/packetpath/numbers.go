package packetpath

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Numbers returns what flag.Func takes to read a list of numbers from least to most, each of them once, into to.
func Numbers(to *[]int, least, most int) func(string) error {
	return func(list string) error {
		var all []int
		for text := range strings.SplitSeq(list, ",") {
			n, err := strconv.Atoi(text)
			if err != nil || n < least || n > most {
				return fmt.Errorf("want a list of numbers from %d to %d", least, most)
			}
			if !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
		*to = all
		return nil
	}
}
