"""Another nick: checked here, claimed for the whole cluster, and then told."""

from functools import partial

from hub.modes.chat import Chat
from hub.modes.sanitize import name_key
from hub.session.client import Client


def rename(chat: Chat, client: Client, wanted: str) -> None:
    """Give the client another nick; NameRefused says why not. The answer of a cluster may come later."""
    nick, person = chat.nicks.check(client, wanted), chat.person(client)
    if nick == person.nick:
        chat.tell(client, f"you are {nick} already")
    elif name_key(nick) == name_key(person.nick):
        _renamed(chat, client, nick, "")
    else:
        chat.commons.claim(client.id, name_key(nick), partial(_renamed, chat, client, nick))


def lose(chat: Chat, key: str) -> None:
    """The nick of this key is another's, so the client here that has it is a guest again."""
    client = chat.nicks.chosen.get(key)
    if client is not None:
        guest = chat.nicks.guest(client)
        chat.tell(client, f"{chat.nick(client)} is somebody else, on another hub: you are now {guest}")
        chat.nicks.give(client, chat.person(client), guest)


def _renamed(chat: Chat, client: Client, nick: str, refusal: str) -> None:
    if client.room is None:
        if not refusal:
            chat.commons.release(name_key(nick))
        return
    if refusal:
        chat.tell(client, refusal)
        return
    person = chat.person(client)
    if name_key(person.nick) != name_key(nick):
        chat.commons.release(name_key(person.nick))
    chat.note(client, client.room, f"is now {nick}")
    chat.nicks.give(client, person, nick)
    chat.tell(client, f"you are now {nick}")
