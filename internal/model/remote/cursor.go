package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// cursor walks over JSON that is known to be valid, without making values of it.
// Unlike encoding/json's it takes no memory for what is passed over.
type cursor struct {
	data []byte
	at   int
}

// next is the first byte of the value that comes next.
func (c *cursor) next() byte {
	for c.at < len(c.data) {
		switch b := c.data[c.at]; b {
		case ' ', '\t', '\n', '\r', ',', ':':
			c.at++
		default:
			return b
		}
	}
	return 0
}

// kindText says what the next value is.
func (c *cursor) kindText() string {
	switch c.next() {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a text"
	case 'n':
		return "null"
	case 't', 'f':
		return "a truth value"
	}
	return "a number"
}

// token passes a value that is no array or object, and gives it as it stands.
func (c *cursor) token() []byte {
	c.next()
	start := c.at
	if c.data[c.at] == '"' {
		for c.at++; c.data[c.at] != '"'; c.at++ {
			if c.data[c.at] == '\\' {
				c.at++
			}
		}
		c.at++
		return c.data[start:c.at]
	}
	for ; c.at < len(c.data); c.at++ {
		switch c.data[c.at] {
		case ' ', '\t', '\n', '\r', ',', ':', '[', ']', '{', '}', '"':
			return c.data[start:c.at]
		}
	}
	return c.data[start:]
}

// text passes a string and gives what it says.
func (c *cursor) text() (string, error) {
	quoted := c.token()
	if inner := quoted[1 : len(quoted)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner), nil
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return "", errors.New("is no readable text")
	}
	return s, nil
}

// skip passes any value.
func (c *cursor) skip() {
	for depth := 0; ; {
		switch c.next() {
		case '[', '{':
			depth++
			c.at++
		case ']', '}':
			depth--
			c.at++
		default:
			c.token()
		}
		if depth == 0 {
			return
		}
	}
}

// elements calls read at each element of an array, which must pass it.
func (c *cursor) elements(read func() error) error {
	c.at++
	for c.next() != ']' {
		if err := read(); err != nil {
			return err
		}
	}
	c.at++
	return nil
}

// members calls read at the value of each member of an object, which must pass it.
func (c *cursor) members(read func(name string) error) error {
	c.at++
	for c.next() != '}' {
		name, err := c.text()
		if err != nil {
			return err
		}
		c.next()
		if err := read(name); err != nil {
			return err
		}
	}
	c.at++
	return nil
}
