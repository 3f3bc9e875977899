"""Sorts texts of chats: what a person wrote, and what a program put there, in the words of several languages."""

import re

from engine.intake.sources.items import Reason

INVISIBLE = re.compile(r"[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
LINK = re.compile(r"(?:https?://|www\.)\S+|[\w.+-]+@[\w-]+\.[\w.]+", re.I)
COMMAND = re.compile(r"[/!][a-zA-Z][\w-]*(?:@\w+)?(?:\s.*)?", re.S)
PATH = re.compile(r"/\w+/")
EXTENSIONS = (
    "jpe?g|png|gif|webp|heic|heif|tiff?|bmp|mp4|mov|m4v|3gp|avi|mkv|opus|ogg|oga|mp3|m4a|aac|wav|amr|caf|pdf|vcf|"
    "docx?|xlsx?|pptx?|zip|apk|was|csv|txt|webm|ics"
)
ATTACHED = re.compile(rf"[^\n<>]{{1,120}}\.(?:{EXTENSIONS})(?:\s*[•·]\s*[\d.,\s\w]+)?\s*\([^()\n]+\)", re.I)
FILE_ALONE = re.compile(rf"(?:\S*/)?[^\n/<>]{{1,120}}\.(?:{EXTENSIONS})", re.I)
BRACKETED = re.compile(r"<[^<>\n]{3,160}>|<[^\n:]{3,20}:[^\n]{3,150}>")
MEDIA = re.compile(
    r"\b(?:omit|omessi?|omess[oa]|omitid[oa]|ausgeschlossen|weggelassen|absente?|weggelaten|omis|"
    r"utel[aä]mnad|udeladt|pominięt[eoay]|vynechán|dahil edilmedi|отсутствует|без медиафайлов|опущен|省略|생략|"
    r"तस्वीर|مستبعد|diabaikan)",
    re.I,
)
ALONE = re.compile(
    r"[\[(<]?\s*(?:photo|picture|image|bild|foto|video|audio|voice message|sprachnachricht|sticker|gif|album|file|"
    r"imagen|immagine|vídeo|contact card|location|attachment|anhang|사진|동영상|이모티콘|写真|スタンプ|動画|图片|"
    r"表情|照片|貼圖|语音|視頻|视频|фотография|видео|стикер)\s*[\])>]?",
    re.I,
)
DELETED = re.compile(
    r".{0,60}(?:deleted|gelöscht|supprimé|eliminad[oa]|eliminó|eliminat[oa]|apagad[oa]|apagou|excluíd[ao]|verwijderd|"
    r"usunięta|удален|удалил|silindi|silindiniz|raderat|raderades|slettet|slettede|poistettu|smazána|törölte|"
    r"削除|삭제|删除|撤回|unsent|حذف|מחק).{0,40}",
    re.I | re.S,
)
MESSAGE = re.compile(
    r"message|nachricht|mensaje|mensagem|messaggio|bericht|wiadomość|сообщение|mesaj|meddelande|besked|melding|"
    r"viesti|zpráva|üzenet|メッセージ|메시지|消息|訊息|رسالة|הודעה",
    re.I,
)
CALL = re.compile(
    r"(?:missed|verpasste[rs]?|entgangene[rs]?|llamada|chiamata|chamada|appel|gemiste|пропущенный|cevapsız|nieodebrane|"
    r"outgoing|incoming|started an?|ongoing|不在着信|부재중)\b.{0,40}"
    r"(?:call|anruf|perdida|persa|perdida|manqué|oproep|звонок|arama|połączenie|vocal[e]?|video\w*|voz|voice)?.{0,30}",
    re.I,
)
CALL_WORD = re.compile(r"\b(?:call|\w*anruf|llamada|chiamata|chamada|appel|oproep|звонок|arama|połączenie)\b", re.I)
EDITED = re.compile(
    r"\s*\u200e?<[^<>\n]*(?:edited|bearbeitet|modifi\w+|editad[oa]|modificato|bewerkt|изменено|düzenlendi|edytowan\w+)"
    r"[^<>\n]*>\s*$",
    re.I,
)


def sort(text: str, *, by_program: bool = False) -> tuple[Reason | None, str]:
    """Returns why a chat's text is left out, or None, and the text without invisible marks.

    `by_program` says that the export marks it as written by the program, so that words decide only which kind it is.
    """
    plain = INVISIBLE.sub("", EDITED.sub("", text)).strip()
    if not plain or plain.casefold() == "null":
        return "empty", plain
    short = len(plain) <= 100 and "\n" not in plain
    if short and DELETED.fullmatch(plain) and MESSAGE.search(plain) and (by_program or len(plain) <= 50):
        return "deleted", plain
    if short and (by_program or len(plain) <= 40) and CALL.fullmatch(plain) and CALL_WORD.search(plain):
        return "call", plain
    if BRACKETED.fullmatch(plain) or ATTACHED.fullmatch(plain) or FILE_ALONE.fullmatch(plain) or ALONE.fullmatch(plain):
        return "media", plain
    if by_program:
        return ("media" if MEDIA.search(plain) else "system"), plain
    if not LINK.sub("", plain).strip(" \n.,;()[]<>|-"):
        return "link alone", plain
    if COMMAND.fullmatch(plain) and not PATH.match(plain):
        return "bot command", plain
    return None, plain


def caption(text: str) -> tuple[str, str]:
    """Returns the file that the first line of a message names, and the words below it."""
    first, _, below = text.partition("\n")
    plain = INVISIBLE.sub("", first).strip()
    attached = ATTACHED.fullmatch(plain) or (BRACKETED.fullmatch(plain) and ("." in plain or MEDIA.search(plain)))
    return (plain, below) if below.strip() and attached else ("", text)
