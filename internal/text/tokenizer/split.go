package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// each makes a splitter of what cuts one piece.
func each(cut func(string) []string) splitter {
	return func(pieces []string) []string {
		out := make([]string, 0, len(pieces))
		for _, p := range pieces {
			out = append(out, cut(p)...)
		}
		return out
	}
}

// runs cuts where the kind of character changes, drops those of a kind below 0, and gives each of the kind 0 alone.
func runs(kind func(rune) int) func(string) []string {
	return func(s string) (out []string) {
		from, last := 0, -1
		for i, r := range s {
			k := kind(r)
			if i > 0 && (k != last || k == 0) && last >= 0 {
				out = append(out, s[from:i])
			}
			if k != last || k == 0 || last < 0 {
				from = i
			}
			last = k
		}
		if last >= 0 {
			out = append(out, s[from:])
		}
		return out
	}
}

// punctuation is as BERT has it: all of ASCII that is neither letter nor number, and Unicode's.
func punctuation(r rune) bool {
	return r >= '!' && r <= '/' || r >= ':' && r <= '@' || r >= '[' && r <= '`' || r >= '{' && r <= '~' || unicode.IsPunct(r)
}

// bertPieces are words, and punctuation alone.
var bertPieces = runs(func(r rune) int {
	switch {
	case unicode.IsSpace(r):
		return -1
	case punctuation(r):
		return 0
	}
	return 1
})

// words are runs of \w, and runs of what is neither \w nor space.
var words = runs(func(r rune) int {
	switch {
	case unicode.IsSpace(r):
		return -1
	case r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r) || unicode.Is(unicode.Pc, r):
		return 1
	}
	return 2
})

var betweenSpaces = strings.Fields

// punctuationAlone keeps everything, punctuation alone.
var punctuationAlone = runs(func(r rune) int {
	if punctuation(r) {
		return 0
	}
	return 1
})

func digits(individual bool) func(string) []string {
	return runs(func(r rune) int {
		switch {
		case unicode.IsNumber(r) && individual:
			return 0
		case unicode.IsNumber(r):
			return 1
		}
		return 2
	})
}

// metaspace writes blanks as another character, and cuts before each.
func metaspace(replacement, scheme string, split bool) splitter {
	return func(pieces []string) (out []string) {
		for i, p := range pieces {
			p = strings.ReplaceAll(p, " ", replacement)
			if (scheme == "always" || scheme == "first" && i == 0) && !strings.HasPrefix(p, replacement) {
				p = replacement + p
			}
			if !split {
				out = append(out, p)
				continue
			}
			from := 0
			for at := 1; at < len(p); at++ {
				if strings.HasPrefix(p[at:], replacement) {
					out, from = append(out, p[from:at]), at
				}
			}
			out = append(out, p[from:])
		}
		return out
	}
}

// byteLevel cuts as GPT-2 does and writes each byte as a printable character (Radford et al. 2019, the program's encoder.py).
func byteLevel(prefix, pattern bool) splitter {
	return each(func(s string) (out []string) {
		if prefix && s != "" && !strings.HasPrefix(s, " ") {
			s = " " + s
		}
		if !pattern {
			return []string{bytesAsText(s)}
		}
		for s != "" {
			n := gpt2Piece(s)
			out = append(out, bytesAsText(s[:n]))
			s = s[n:]
		}
		return out
	})
}

// gpt2Piece is the length of the first match of
// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ in a text that is not empty.
func gpt2Piece(s string) int {
	for _, ending := range []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"} {
		if strings.HasPrefix(s, ending) {
			return len(ending)
		}
	}
	blank := 0
	if s[0] == ' ' {
		blank = 1
	}
	for _, of := range []func(rune) bool{unicode.IsLetter, unicode.IsNumber, func(r rune) bool {
		return !unicode.IsSpace(r) && !unicode.IsLetter(r) && !unicode.IsNumber(r)
	}} {
		if n := span(s[blank:], of); n > 0 {
			return blank + n
		}
	}
	n := span(s, unicode.IsSpace)
	if _, last := utf8.DecodeLastRuneInString(s[:n]); n < len(s) && n > last {
		return n - last // the last goes with what follows
	}
	return n
}

// span is the length of what a text begins with of a kind.
func span(s string, of func(rune) bool) int {
	if n := strings.IndexFunc(s, func(r rune) bool { return !of(r) }); n >= 0 {
		return n
	}
	return len(s)
}

// byteRunes is GPT-2's character for each byte: itself where it is printable in Latin-1, else one from 256 on.
var byteRunes = func() (table [256]rune) {
	next := rune(256)
	for b := range table {
		if b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE {
			table[b] = rune(b)
			continue
		}
		table[b] = next
		next++
	}
	return table
}()

func bytesAsText(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(byteRunes[s[i]])
	}
	return b.String()
}
