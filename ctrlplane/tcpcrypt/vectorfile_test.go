package tcpcrypt_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"testing"
)

// vectorsEnv names a further file of vectors to run, in the form of testdata/tcpcrypt.json.
const vectorsEnv = "LINECRYPT_VECTORS"

// hexBytes is a hex string of the file; nil means that the field is missing.
type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil || s == nil {
		return fmt.Errorf("not a hex string: %.40s", b)
	}
	raw, err := hex.DecodeString(*s)
	*h = append(hexBytes{}, raw...)
	return err
}

// vectorFile is the file's form. Every field must be present, but for those marked optional; fields not named here are
// ignored.
type vectorFile struct {
	Cases []vectorCase `json:"cases"`
}

type vectorCase struct {
	TEP        *uint8          `json:"tep"`
	TEPName    *string         `json:"tep_name"`
	AEAD       *uint16         `json:"aead"`
	AEADName   *string         `json:"aead_name"`
	PrivateA   hexBytes        `json:"private_a"`
	PrivateB   hexBytes        `json:"private_b"`
	NonceA     hexBytes        `json:"nonce_a"`
	NonceB     hexBytes        `json:"nonce_b"`
	Offered    []uint16        `json:"offered"`
	ENOA       hexBytes        `json:"eno_a"`
	ENOB       hexBytes        `json:"eno_b"`
	Transcript hexBytes        `json:"eno_transcript"`
	Init1      hexBytes        `json:"init1"`
	Init2      hexBytes        `json:"init2"`
	ES         hexBytes        `json:"es"`
	PRK        hexBytes        `json:"prk"`
	SS         []hexBytes      `json:"ss"`
	MK         []hexBytes      `json:"mk"`
	KAB        []hexBytes      `json:"k_ab"`
	KBA        []hexBytes      `json:"k_ba"`
	SessionID  hexBytes        `json:"session_id"`
	Frames     []vectorFrame   `json:"frames"`
	Resumed    []vectorResumed `json:"resumed"`
}

type vectorFrame struct {
	Sender     *string  `json:"sender"`
	Generation *int     `json:"generation"`
	Offset     *uint64  `json:"offset"`
	Data       hexBytes `json:"data"`
	FIN        *bool    `json:"fin"`
	Urgent     *uint16  `json:"urgent" vector:"optional"`
	Rekey      *bool    `json:"rekey"`
	Nonce      hexBytes `json:"nonce"`
	AAD        hexBytes `json:"aad"`
	Frame      hexBytes `json:"frame"`
}

type vectorResumed struct {
	I         *int     `json:"i"`
	NonceA    hexBytes `json:"nonce_a"`
	NonceB    hexBytes `json:"nonce_b"`
	Resume    hexBytes `json:"resume"`
	FromA     hexBytes `json:"eno_from_original_a"`
	FromB     hexBytes `json:"eno_from_original_b"`
	SessionID hexBytes `json:"session_id"`
	MK0       hexBytes `json:"mk0"`
	KAB       hexBytes `json:"k_ab"`
	KBA       hexBytes `json:"k_ba"`
	First     *struct {
		Offset *uint64  `json:"offset"`
		Data   hexBytes `json:"data"`
		Frame  hexBytes `json:"frame"`
	} `json:"first_frame_from_original_a"`
}

// vectorFiles returns the names of all files of vectors to run.
func vectorFiles() []string {
	files := []string{"testdata/tcpcrypt.json"}
	if extra := os.Getenv(vectorsEnv); extra != "" {
		files = append(files, extra)
	}
	return files
}

func parseVectors(b []byte) ([]vectorCase, error) {
	var f vectorFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, err
	}
	if len(f.Cases) == 0 {
		return nil, errors.New("no cases")
	}
	if path := missing(reflect.ValueOf(f.Cases), "cases"); path != "" {
		return nil, fmt.Errorf("%s is missing or empty", path)
	}
	for i, c := range f.Cases {
		if err := c.checkLengths(); err != nil {
			return nil, fmt.Errorf("cases[%d]%w", i, err)
		}
	}
	return f.Cases, nil
}

// checkLengths checks the fields whose length the tests take for granted.
func (c vectorCase) checkLengths() error {
	type field struct {
		name string
		got  hexBytes
		want int
	}
	fields := []field{{"nonce_a", c.NonceA, 32}, {"nonce_b", c.NonceB, 32}, {"session_id", c.SessionID, 33}}
	for _, r := range c.Resumed {
		fields = append(fields, field{"resumed.session_id", r.SessionID, 33}, field{"resumed.resume", r.Resume, 18})
	}
	for _, f := range fields {
		if len(f.got) != f.want {
			return fmt.Errorf(".%s has %d bytes, not %d", f.name, len(f.got), f.want)
		}
	}
	return nil
}

// missing returns the path of the first field under v that the file lacks, or "".
func missing(v reflect.Value, path string) string {
	switch {
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			return path
		}
		return missing(v.Elem(), path)
	case v.Type() == reflect.TypeFor[hexBytes]():
		if v.IsNil() {
			return path
		}
	case v.Kind() == reflect.Slice:
		if v.Len() == 0 {
			return path
		}
		for i := range v.Len() {
			if p := missing(v.Index(i), fmt.Sprintf("%s[%d]", path, i)); p != "" {
				return p
			}
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Tag.Get("vector") == "optional" {
				continue
			}
			if p := missing(v.Field(i), path+"."+f.Tag.Get("json")); p != "" {
				return p
			}
		}
	}
	return ""
}

func loadVectors(t *testing.T, name string) []vectorCase {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("read vectors: %v", err)
	}
	cases, err := parseVectors(b)
	if err != nil {
		t.Fatalf("vectors %s: %v", name, err)
	}
	return cases
}

func TestVectorFileThatIsGarbledOrIncompleteIsRefused(t *testing.T) {
	for name, file := range map[string]string{
		"empty":         "",
		"not json":      "{",
		"no cases":      `{"cases":[]}`,
		"missing cases": `{}`,
		"missing field": `{"cases":[{"tep":35}]}`,
		"not hex":       `{"cases":[{"private_a":"zz"}]}`,
		"null hex":      `{"cases":[{"private_a":null}]}`,
	} {
		if _, err := parseVectors([]byte(file)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
