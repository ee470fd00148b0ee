package remote

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"unicode"

	"golang.org/x/net/http/httpguts"
)

// Auth says where the secret is that a request carries in a header. It is read once,
// when the endpoint is opened.
type Auth struct {
	Header      string `yaml:"header,omitempty" json:"header,omitempty"`           // Authorization if empty
	Prefix      string `yaml:"prefix,omitempty" json:"prefix,omitempty"`           // before the secret, such as "Bearer "
	Environment string `yaml:"environment,omitempty" json:"environment,omitempty"` // the variable that holds it
	File        string `yaml:"file,omitempty" json:"file,omitempty"`               // the file that holds it

	// Cleartext allows the secret on connections without TLS to another machine.
	Cleartext bool `yaml:"cleartext,omitempty" json:"cleartext,omitempty"`
}

func (a Auth) header() string {
	if a.Header == "" {
		return "Authorization"
	}
	return a.Header
}

func (a Auth) given() bool { return a.Environment != "" || a.File != "" }

func (v *validation) auth(c Config) {
	a := c.Auth
	if !a.given() {
		if a != (Auth{}) {
			v.wrong("auth", "where the secret is, is missing: name a variable in environment, or a file")
		}
		return
	}
	if a.Environment != "" && a.File != "" {
		v.wrong("auth", "the secret is in environment or in a file, not in both")
	}
	if name := a.header(); !httpguts.ValidHeaderFieldName(name) || c.Protocol == V2GRPC && strings.HasSuffix(strings.ToLower(name), "-bin") {
		v.wrong("auth.header", "%q is no name of a header", name)
	}
	if !httpguts.ValidHeaderFieldValue(a.Prefix) {
		v.wrong("auth.prefix", "%q cannot stand in a header", a.Prefix)
	}
	if u, err := url.Parse(c.URL); err == nil && !a.Cleartext && (u.Scheme == "http" || u.Scheme == "grpc") && !loopback(u.Hostname()) {
		v.wrong("auth", "the secret would go to %s without encryption: use %ss, or state auth.cleartext: true if the network is trusted", u.Host, u.Scheme)
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// secret is what must not be seen. It has no text of its own, so that it cannot be
// printed by chance.
type secret struct {
	header string
	value  func() string // with the prefix
	hidden func() []string
}

const maxSecret = 64 << 10

// secret reads the secret; the zero one if there is none.
func (a Auth) secret() (secret, error) {
	if !a.given() {
		return secret{}, nil
	}
	var text, where string
	if a.Environment != "" {
		text, where = os.Getenv(a.Environment), "the environment variable "+a.Environment
	} else {
		data, err := readStart(a.File, maxSecret+1)
		if err != nil {
			return secret{}, fmt.Errorf("read the secret of auth.file: %w", err)
		}
		text, where = string(data), "the file "+a.File
	}
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return secret{}, fmt.Errorf("%s, which auth names, is empty or missing: put the secret there", where)
	case len(text) > maxSecret || !httpguts.ValidHeaderFieldValue(text):
		return secret{}, fmt.Errorf("%s, which auth names, holds what cannot stand in a header: a secret is one line of at most %d bytes", where, maxSecret)
	}
	return newSecret(a.header(), a.Prefix, text), nil
}

func newSecret(header, prefix, text string) secret {
	escaped, _ := json.Marshal(text) // a server may quote it so
	forms := []string{text, strings.Trim(string(escaped), `"`), url.QueryEscape(text), url.PathEscape(text)}
	return secret{header: header, value: func() string { return prefix + text }, hidden: func() []string { return forms }}
}

func readStart(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// hide cuts the secret out of a text.
func (s secret) hide(text string) string {
	if s.hidden == nil {
		return text
	}
	for _, form := range s.hidden() {
		text = strings.ReplaceAll(text, form, "[secret]")
	}
	return text
}

// excerpt is the beginning of a text, without the secret, and without what would steer
// a terminal.
func (s secret) excerpt(text string, shown int) string {
	text = strings.TrimSpace(s.hide(text))
	var b strings.Builder
	for _, r := range text {
		if shown--; shown < 0 {
			b.WriteString("…")
			break
		}
		if !unicode.IsPrint(r) {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

// excerptOfStart is the excerpt of a text of which the end may be missing. What could be
// the beginning of the secret at its end is left out.
func (s secret) excerptOfStart(text string, cut bool, shown int) string {
	if cut && s.hidden != nil {
		longest := 0
		for _, form := range s.hidden() {
			longest = max(longest, len(form))
		}
		text = text[:max(0, len(text)-longest)]
	}
	return s.excerpt(text, shown)
}
