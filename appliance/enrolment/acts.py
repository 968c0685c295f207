"""What commands do about enrolment at the door and from photos that are sent, in the loop's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.verbs import EnrolPhoto, EnrolStart, EnrolStop

if TYPE_CHECKING:
    from appliance.enrolment.at_the_door import DoorEnrolment
    from appliance.enrolment.desk import Told
    from appliance.enrolment.photo_desk import PhotoDesk
    from appliance.enrolment.uploads import Upload
    from appliance.envelope import Command
    from appliance.people_acts import PeopleActs
    from appliance.usecases import Acts, Answer


def enrol_acts(people: PeopleActs, door: DoorEnrolment, photos: PhotoDesk) -> Acts:
    """Return what is done about enrolment; how far it has come is told as it goes."""

    def start(command: Command, args: EnrolStart, answer: Answer) -> None:
        def hear(told: Told) -> None:
            message = {"hint": told.hint.value, "views": told.views}
            if told.enrolled is not None:
                message |= people.told(told.enrolled)
            answer({} if told.refused else message, told.refused, done=told.ended)

        door.begin(people.newcomer(command, args), hear)

    def stop(_command: Command, _args: EnrolStop, answer: Answer) -> None:
        was = door.busy
        door.stop()
        answer({"stopped": was})

    def photo(command: Command, args: EnrolPhoto, answer: Answer) -> None:
        if args.person is not None:
            people.check(command, args.person)

        def enrol(upload: Upload, reply: Answer) -> None:
            people.enrol_photos(command, upload.person, upload.looks, reply)

        photos.take(command.client_id, args, answer, enrol)

    return {EnrolStart: start, EnrolStop: stop, EnrolPhoto: photo}
